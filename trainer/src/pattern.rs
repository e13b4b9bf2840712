//! Names with stars in them.

/// Whether a name is like a pattern, in which `*` stands for anything, also nothing.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|after| {
            (0..=after.len()).any(|skip| after.get(skip..).is_some_and(|tail| matches(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_anywhere() {
        for (pattern, name, wanted) in [
            ("encoder.*", "encoder.0.weight", true),
            ("encoder.*", "net.encoder.0.weight", false),
            ("*.encoder.*", "net.encoder.0.weight", true),
            ("*weight", "encoder.0.weight", true),
            ("*", "x", true),
            ("x", "x", true),
            ("x", "xy", false),
            ("a*b*c", "a.b.b.c", true),
            ("a*b*c", "a.c.b", false),
            ("*.wav", "ö.wav", true),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
