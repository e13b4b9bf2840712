//! What is played when: the composer's result, and the input of all instruments. Times in seconds.

/// A pitched note.
#[derive(Clone, Copy, Debug)]
pub struct Note {
    /// When it starts.
    pub start: f32,
    /// How long it is held.
    pub length: f32,
    /// MIDI note number.
    pub pitch: f32,
    /// 0 to 1.
    pub velocity: f32,
}

/// A piece of the drum kit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bass drum.
    Kick,
    /// Snare drum, rim shot or brush.
    Snare,
    /// Closed hi-hat.
    Hat,
    /// Open hi-hat.
    OpenHat,
    /// Ride cymbal.
    Ride,
    /// Crash cymbal.
    Crash,
    /// High tom.
    TomHigh,
    /// Low tom.
    TomLow,
    /// Clap or snap.
    Clap,
    /// Shaker, tambourine, conga, woodblock, cowbell: chosen by the kit.
    PercussionA,
    /// Another one.
    PercussionB,
}

impl Piece {
    /// All pieces, in the order of their numbers.
    pub const ALL: [Piece; 11] = [
        Piece::Kick,
        Piece::Snare,
        Piece::Hat,
        Piece::OpenHat,
        Piece::Ride,
        Piece::Crash,
        Piece::TomHigh,
        Piece::TomLow,
        Piece::Clap,
        Piece::PercussionA,
        Piece::PercussionB,
    ];
}

/// A hit on the kit.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// When.
    pub start: f32,
    /// Which piece.
    pub piece: Piece,
    /// 0 to 1.
    pub velocity: f32,
}

/// What a part of the "other" stem does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Long chords.
    Pad,
    /// Rhythmic chords.
    Comp,
    /// Broken chords.
    Arpeggio,
    /// A melody or a repeated figure.
    Lead,
    /// Low chords in fifths, as on an overdriven guitar.
    Power,
    /// A short figure in one voice that comes back in every bar or two.
    Riff,
    /// Low notes that are no bass: a pianist's left hand, cellos, low brass, a baritone guitar.
    Low,
    /// No notes but noises: risers, wind, crackle. Pitches say nothing here.
    Effect,
}

/// A part of the "other" stem.
pub struct Part {
    /// What it does.
    pub role: Role,
    /// What it plays.
    pub notes: Vec<Note>,
}

/// What a voice does in a song.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// In front.
    Lead,
    /// The lead once more, by the same singer.
    Double,
    /// The lead's words on other notes.
    Harmony,
    /// One of many behind.
    Choir,
}

/// A sung (or spoken) line: notes without a gap form a phrase.
pub struct VocalLine {
    /// What this voice does.
    pub voice: Voice,
    /// What it sings.
    pub notes: Vec<Note>,
    /// For each note a number that says which syllable it is sung on: equal numbers sound alike, and
    /// [`VocalLine::HOLD`] goes on with the syllable before.
    pub syllables: Vec<u64>,
    /// Spoken rhythmically rather than sung.
    pub spoken: bool,
}

impl VocalLine {
    /// The number of no syllable: the note is sung on the vowel of the one before.
    pub const HOLD: u64 = 0;
}

/// A whole song.
pub struct Score {
    /// Beats per minute.
    pub bpm: f32,
    /// Drums.
    pub drums: Vec<Hit>,
    /// Bass.
    pub bass: Vec<Note>,
    /// The parts of the "other" stem.
    pub other: Vec<Part>,
    /// The lead voice first, then what accompanies it.
    pub vocals: Vec<VocalLine>,
}
