//! Measuring on held-out songs: SDR with the very separator that the plugin runs, and the loss on fixed excerpts.

use anyhow::Context;
use candle_core::{Device, Tensor};
use engine::STEMS;
use engine::audio::AudioBuffer;
use engine::checkpoint::Checkpoint;
use engine::model::{Mode, Network, Window};
use engine::separator::offline::separate;
use indicatif::ProgressBar;
use rayon::prelude::*;

use super::learner::Learner;
use super::processes::Processes;
use super::validate::{HeldOutSong, HeldOutSongs};
use crate::metrics::plain_sdr::{Report, Scores, by_stem};
use crate::synth::mix;

/// A song and what the separator made of it.
pub struct Heard {
    /// What should come out.
    pub targets: [AudioBuffer; STEMS],
    /// What went in.
    pub mixture: AudioBuffer,
    /// What came out.
    pub estimates: [AudioBuffer; STEMS],
}

impl HeldOutSongs {
    /// Separates and scores all songs, on the device if it can run the separator, each process its share, several at a
    /// time; the first process gives its first out to be listened to. The bar moves by one with each song.
    ///
    /// # Errors
    /// The checkpoint cannot be run.
    pub fn measure(
        &self,
        checkpoint: &Checkpoint,
        device: &Device,
        processes: &Processes,
        bar: &ProgressBar,
    ) -> anyhow::Result<(Report, Option<Heard>)> {
        let mut first = None;
        // [songs][separated, mixture, quarter][STEMS]: rows of other processes are 0, and all are added up.
        let mut scores = vec![[[0.0; STEMS]; 3]; self.songs.len()];
        let own: Vec<_> = self.own(processes).collect();
        let on_card = !device.is_cpu() && checkpoint.runs_on_cards();
        let device = if on_card { device } else { &Device::Cpu };
        // No more songs at a time than are worked on, because each needs memory for all that comes out.
        let at_once = if on_card { 1 } else { rayon::current_num_threads().max(1) };
        for songs in own.chunks(at_once) {
            let heard: Vec<Heard> = songs
                .par_iter()
                .map(|(_, song)| {
                    let targets = song.stems()?.into_owned();
                    let mixture = mix(&targets);
                    let mut separator =
                        checkpoint.separator_on(device).context("cannot run the network as a separator")?;
                    let estimates = separate(&mut separator, &mixture, |_, _| ())?;
                    bar.inc(1);
                    Ok(Heard { targets, mixture, estimates })
                })
                .collect::<anyhow::Result<_>>()?;
            for ((index, _), heard) in songs.iter().zip(heard) {
                let mut quarter = heard.mixture.clone();
                quarter.iter_mut().flatten().for_each(|x| *x *= 0.25);
                scores[*index] = [
                    by_stem(&heard.targets, &heard.estimates),
                    by_stem(&heard.targets, &std::array::from_fn(|_| heard.mixture.clone())),
                    by_stem(&heard.targets, &std::array::from_fn(|_| quarter.clone())),
                ];
                first.get_or_insert(heard);
            }
        }
        processes.sum_f64(scores.as_flattened_mut().as_flattened_mut());
        let [separated, mixture, quarter] =
            std::array::from_fn(|what| scores.iter().map(|song| song[what]).collect::<Scores>());
        Ok((Report { songs: self.songs.len(), separated, mixture, quarter }, first))
    }

    /// The songs that this process measures on, and their numbers.
    fn own(&self, processes: &Processes) -> impl Iterator<Item = (usize, &HeldOutSong)> {
        self.songs.iter().enumerate().skip(processes.rank()).step_by(processes.count())
    }

    /// The mean loss over excerpts of all songs that are the same every time, each process its share of the songs;
    /// `None` if there are no excerpts. The network lies where the learner's does. `per_song` and `batch` count
    /// excerpts. The bar moves by one with each song.
    ///
    /// # Errors
    /// The network cannot be run.
    pub fn loss(
        &self,
        network: &dyn Network,
        learner: &Learner,
        (per_song, batch): (usize, usize),
        processes: &Processes,
        bar: &ProgressBar,
    ) -> anyhow::Result<Option<f64>> {
        let Learner { device, loss, window, .. } = learner;
        let (mut sum, mut count) = (0.0, 0);
        // Song by song, because songs may have to be read.
        for (_, song) in self.own(processes) {
            let stems = song.stems()?;
            let places: Vec<usize> = starts(stems[0].frames(), window.output, per_song).collect();
            for places in places.chunks(batch.max(1)) {
                let mut mixtures = Vec::with_capacity(places.len() * 2 * window.input);
                let mut targets = Vec::with_capacity(places.len() * STEMS * 2 * window.output);
                for start in places {
                    excerpt(&stems, *start, *window, &mut mixtures, &mut targets);
                }
                let mixture = Tensor::from_vec(mixtures, (places.len(), 2, window.input), device)?;
                let target = Tensor::from_vec(targets, (places.len(), STEMS, 2, window.output), device)?;
                let estimate = network.forward(&mixture, Mode::Evaluate)?;
                let (value, _) = loss.of(&estimate, &target, &mixture)?;
                sum += f64::from(value.to_scalar::<f32>()?) * places.len() as f64;
                count += places.len();
            }
            bar.inc(1);
        }
        let mut totals = [sum, count as f64];
        processes.sum_f64(&mut totals);
        let [sum, count] = totals;
        Ok((count > 0.0).then(|| sum / count))
    }
}

/// Where excerpts of `length` frames begin in a song: from its beginning to its end, never overlapping, but at least
/// one; a single one in the middle.
fn starts(frames: usize, length: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let count = wanted.min((frames / length).max(1));
    let room = frames.saturating_sub(length);
    (0..count).map(move |i| if count > 1 { i * room / (count - 1) } else { room / 2 })
}

/// Appends the mixture `[2, window.input]` and the stems `[STEMS, 2, window.output]` of the excerpt whose output
/// begins at `start`. Around the song there is silence.
fn excerpt(
    stems: &[AudioBuffer; STEMS],
    start: usize,
    window: Window,
    mixtures: &mut Vec<f32>,
    targets: &mut Vec<f32>,
) {
    for side in 0..2 {
        let first = start as isize - window.output_start as isize;
        mixtures.extend((first..first + window.input as isize).map(|at| {
            let at = usize::try_from(at).ok();
            let sample = |stem: &AudioBuffer| at.and_then(|at| stem.channel(side).get(at).copied());
            stems.iter().filter_map(sample).sum::<f32>()
        }));
    }
    for stem in stems {
        for channel in stem.iter() {
            let at = |at| channel.get(at).copied().unwrap_or(0.0);
            targets.extend((start..start + window.output).map(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_lie_side_by_side_or_evenly_spaced_and_never_overlap() {
        let starts = |frames, wanted| starts(frames, 100, wanted).collect::<Vec<_>>();
        assert_eq!(starts(400, 1_000), [0, 100, 200, 300]);
        assert_eq!(starts(1_000, 4), [0, 300, 600, 900]);
        assert_eq!(starts(1_000, 1), [450]);
        assert_eq!(starts(50, 4), [0]);
        assert!(starts(1_000, 0).is_empty());
    }

    #[test]
    fn an_excerpt_is_the_mixture_around_the_stems_that_belong_to_it() {
        let ramp = |factor: f32| {
            let channel: Vec<f32> = (0..10).map(|n| factor * n as f32).collect();
            AudioBuffer::from_channels(vec![channel.clone(), channel]).unwrap()
        };
        let stems = [1.0, 10.0, 100.0, 1_000.0].map(ramp);
        let window = Window { input: 6, output: 2, output_start: 3 };
        let (mut mixtures, mut targets) = (Vec::new(), Vec::new());
        excerpt(&stems, 1, window, &mut mixtures, &mut targets);
        assert_eq!(mixtures[..6], [0.0, 0.0, 0.0, 1_111.0, 2_222.0, 3_333.0]);
        assert_eq!(mixtures[..6], mixtures[6..]);
        assert_eq!(targets[..4], [1.0, 2.0, 1.0, 2.0]);
        assert_eq!(targets[4..8], [10.0, 20.0, 10.0, 20.0]);
        assert_eq!(targets.len(), 16);
    }
}
