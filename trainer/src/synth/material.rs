//! What may play parts of songs in place of our own instruments: a pack of recordings, a SoundFont.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::ensure;

use super::dsp::gain;
use super::mix::{Amp, Strip, Track};
use super::other::level_db;
use super::pack::Pack;
use super::score::{Hit, Note, Part, Piece, Role, VocalLine};
use super::soundfont::SoundFont;
use crate::exit::WrongUse;
use crate::rng::Rng;

/// The share of parts that recordings play where nobody says another.
pub const SHARE: f32 = 0.5;

/// Which recordings there are, and how much they play.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub struct Recordings {
    /// A folder of recordings with a manifest.csv (columns file, family, instrument, and where known articulation,
    /// midi, f0_hz, velocity; families drums/*, bass/*, other/*, vocals/*, vocals/speech), which play parts of the
    /// songs; speech sings.
    #[arg(long, value_name = "DIR")]
    pub pack: Option<PathBuf>,
    /// Only these of the pack's instruments, kits and voices; a `*` in a name stands for anything.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "pack")]
    pub pack_only: Vec<String>,
    /// All of the pack's instruments, kits and voices but these: to keep some for testing.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', requires = "pack")]
    pub pack_without: Vec<String>,
    /// The share of parts that recordings play, 0 to 1; our own instruments play the others. At 1 a pack plays drums
    /// that it lacks on the nearest that it has, and there are no effects.
    #[arg(long, value_name = "SHARE", default_value_t = SHARE)]
    pub pack_share: f32,
    /// A SoundFont whose instruments play parts of drums, bass and other; with --pack they share evenly.
    #[arg(long, value_name = "FILE.sf2")]
    pub soundfont: Option<PathBuf>,
}

/// Recorded instruments. Cloning is cheap: everybody shares the recordings.
#[derive(Clone, Default)]
pub struct Material {
    pack: Option<Arc<Pack>>,
    soundfont: Option<Arc<SoundFont>>,
    /// The part of all parts that they play.
    share: f32,
}

/// Who plays a part.
enum Player<'a> {
    Ours,
    Pack(&'a Pack),
    SoundFont(&'a SoundFont),
}

impl Material {
    /// Reads what there is. A pack and a SoundFont share parts evenly. A SoundFont plays drums, bass and other, never
    /// vocals.
    ///
    /// # Errors
    /// Something cannot be read, or the share is out of range.
    pub fn open(recordings: &Recordings) -> anyhow::Result<Self> {
        let Recordings { pack, pack_only, pack_without, pack_share: share, soundfont } = recordings;
        ensure!(
            (0.0..=1.0).contains(share),
            WrongUse(format!("the share of recordings must lie in 0..=1, not {share}"))
        );
        Ok(Self {
            pack: match pack {
                Some(folder) => Some(Arc::new(Pack::open(folder, pack_only, pack_without)?)),
                None => None,
            },
            soundfont: soundfont.as_deref().map(SoundFont::open).transpose()?.map(Arc::new),
            share: *share,
        })
    }

    /// The pack, if there is one.
    pub fn pack(&self) -> Option<&Pack> {
        self.pack.as_deref()
    }

    /// Whether nothing but the pack is to play, as far as it can.
    fn alone(&self) -> bool {
        self.pack.is_some() && self.soundfont.is_none() && self.share >= 1.0
    }

    fn player(&self, rng: &mut Rng) -> Player<'_> {
        let (recorded, first) = (rng.chance(self.share), rng.chance(0.5));
        match (&self.pack, &self.soundfont) {
            _ if !recorded => Player::Ours,
            (Some(pack), None) => Player::Pack(pack),
            (Some(pack), Some(_)) if first => Player::Pack(pack),
            (_, Some(font)) => Player::SoundFont(font),
            (None, None) => Player::Ours,
        }
    }

    /// Plays all or some of the hits, and gives back those that our own drums should play.
    pub fn drums(&self, rng: &mut Rng, hits: &[Hit], bpm: f32, length: usize) -> (Vec<Track>, Vec<Hit>) {
        let player = self.player(rng);
        // Producers mix: a kit of one kind, some pieces of another.
        let mixed = rng.chance(0.35) && !self.alone();
        let pieces = Piece::ALL.map(|_| !mixed || rng.chance(0.6));
        let split = |plays: &dyn Fn(Piece) -> bool| -> (Vec<Hit>, Vec<Hit>) {
            hits.iter().partition(|hit| pieces[hit.piece as usize] && plays(hit.piece))
        };
        match player {
            Player::Ours => (Vec::new(), hits.to_vec()),
            Player::Pack(pack) => {
                let plays = |piece| pack.has_piece(piece) || (self.alone() && pack.has_stand_in(piece));
                let (theirs, ours) = split(&plays);
                (vec![pack.drums(rng, &theirs, bpm, length)], ours)
            }
            Player::SoundFont(font) if font.has_drums() => {
                let (theirs, ours) = split(&|_| true);
                (vec![font.drums(rng, &theirs, length)], ours)
            }
            Player::SoundFont(_) => (Vec::new(), hits.to_vec()),
        }
    }

    /// Plays the bass line; `None` leaves it to us.
    pub fn bass(&self, rng: &mut Rng, notes: &[Note], length: usize) -> Option<Vec<Track>> {
        let mut track = match self.player(rng) {
            Player::Ours => None,
            Player::Pack(pack) => pack.bass(rng, notes, length),
            Player::SoundFont(font) => font.bass(rng, notes, length),
        }?;
        // Basses stand in the middle.
        let [left, right] = &mut track.channels;
        left.iter_mut().zip(right.iter()).for_each(|(l, r)| *l = 0.5 * (*l + r));
        right.copy_from_slice(left);
        track.level();
        if rng.chance(0.25) {
            Amp::bass(rng).run(&mut track);
            track.level();
        }
        Strip::draw(rng, 26.0, 2.0).run(&mut track);
        track.duck = if rng.chance(0.7) { rng.range(0.5, 1.0) } else { 0.0 };
        Some(vec![track])
    }

    /// Plays a part of "other"; `None` leaves it to us.
    pub fn other(&self, rng: &mut Rng, part: &Part, length: usize) -> Option<Track> {
        if part.role == Role::Effect && self.alone() {
            return Some(Track::silent(length));
        }
        let mut track = match self.player(rng) {
            // The pitches of effects mean nothing.
            _ if part.role == Role::Effect => None,
            Player::Ours => None,
            Player::Pack(pack) => pack.other(rng, &part.notes, part.role == Role::Pad, length),
            Player::SoundFont(font) => font.other(rng, part.role, &part.notes, length),
        }?;
        track.level();
        track.scale(gain(level_db(part.role) + 3.0 * rng.normal()));
        track.reverb_send = if rng.chance(0.6) { rng.log_range(0.02, 0.4) } else { 0.0 };
        track.delay_send = if rng.chance(0.2) { rng.range(0.05, 0.35) } else { 0.0 };
        track.duck = if rng.chance(0.6) { rng.range(0.4, 1.0) } else { 0.0 };
        Some(track)
    }

    /// Sings all lines; `None` leaves them to us.
    pub fn vocals(&self, rng: &mut Rng, lines: &[VocalLine], length: usize) -> Option<Vec<Track>> {
        let recorded = rng.chance(self.share);
        self.pack.as_ref().filter(|_| recorded)?.vocals(rng, lines, length)
    }
}
