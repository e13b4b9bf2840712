//! Misspelt keys and values: which known one is meant.

/// What is known where something unknown was found, from serde's message about it.
pub struct Unknown<'a> {
    /// What was found.
    pub found: &'a str,
    /// What could have stood there.
    pub known: Vec<&'a str>,
}

impl<'a> Unknown<'a> {
    /// Reads messages like "unknown field `x`, expected one of `y`, `z`" or "unknown variant ...".
    pub fn read(message: &'a str) -> Option<Self> {
        let rest =
            message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("unknown variant "))?;
        // Between backticks are every second of the parts.
        let mut quoted = rest.split('`').skip(1).step_by(2);
        Some(Self { found: quoted.next()?, known: quoted.collect() })
    }

    /// The known one that looks most like it, if any looks like it at all.
    fn nearest(&self) -> Option<&'a str> {
        let likeness = |known: &str| {
            let (a, b) = (self.found.to_lowercase(), known.to_lowercase());
            // The one favours equal beginnings, the other longer words with a part in common.
            strsim::jaro_winkler(&a, &b).max(strsim::sorensen_dice(&a, &b))
        };
        let best = self.known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(best) > 0.7).then_some(best)
    }
}

/// "did you mean", where a message is about something unknown.
pub fn suggestion(message: &str) -> Option<String> {
    let unknown = Unknown::read(message)?;
    let found = unknown.found;
    Some(match unknown.nearest() {
        Some(known) => format!("`{found}` is unknown; did you mean `{known}`?"),
        None => format!("`{found}` is unknown here"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_suggested_and_nothing_when_none_is_near() {
        let hint = |found: &str| {
            suggestion(&format!("unknown field `{found}`, expected one of `batch`, `prefetch`, `warm_up`"))
                .unwrap()
        };
        assert!(hint("batchsize").ends_with("did you mean `batch`?"));
        assert!(hint("warmup").ends_with("did you mean `warm_up`?"));
        assert!(hint("prefetched").ends_with("did you mean `prefetch`?"));
        assert!(hint("zzz").ends_with("unknown here"));
        assert_eq!(suggestion("missing field `batch`"), None);
    }
}
