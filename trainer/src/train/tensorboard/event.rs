//! The messages of event files: the fields that we write, numbered as in TensorFlow's event.proto and summary.proto.

/// One record of an event file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The step that it belongs to.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What happened.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// What an event says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// The first event of each file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Values.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// A run has been started again.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// That a run has been started again: later events from before are void.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionLog {
    /// 1 is START.
    #[prost(int32, tag = "1")]
    pub status: i32,
}

impl SessionLog {
    /// From the event's step on, everything is written again.
    pub fn start() -> Self {
        Self { status: 1 }
    }
}

/// Several values of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// The values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}

/// A named value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Its name; what stands before a `/` is the group that it is shown in.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// The value.
    #[prost(oneof = "Content", tags = "2, 4, 6")]
    pub content: Option<Content>,
}

impl Value {
    /// A point of a curve.
    pub fn scalar(tag: impl Into<String>, value: f64) -> Self {
        Self { tag: tag.into(), content: Some(Content::Scalar(value as f32)) }
    }
}

/// Kinds of values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Content {
    /// A point of a curve.
    #[prost(float, tag = "2")]
    Scalar(f32),
    /// A picture.
    #[prost(message, tag = "4")]
    Image(Image),
    /// A sound.
    #[prost(message, tag = "6")]
    Audio(Audio),
}

/// A picture.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Image {
    /// Pixels.
    #[prost(int32, tag = "1")]
    pub height: i32,
    /// Pixels.
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3 is RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
}

/// A sound.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Audio {
    /// Hz.
    #[prost(float, tag = "1")]
    pub sample_rate: f32,
    /// Channels.
    #[prost(int64, tag = "2")]
    pub channels: i64,
    /// Frames.
    #[prost(int64, tag = "3")]
    pub frames: i64,
    /// A WAV file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded: Vec<u8>,
    /// Its MIME type.
    #[prost(string, tag = "5")]
    pub content_type: String,
}
