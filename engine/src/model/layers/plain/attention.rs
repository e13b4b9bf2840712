//! Attention along many sequences.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::softmax;

use super::super::sequences::Axis;
use super::product;

/// Added to the score of what is not seen.
const UNSEEN: f32 = -1e9;

/// As the operation of [`super::super::TimeAttention`] and [`super::super::BandAttention`].
pub fn attend(qkv: &Tensor, bias: &Tensor, axis: Axis, skip: usize) -> Result<Tensor> {
    let (heads, _) = bias.dims2()?;
    let along_frames = axis == Axis::Frames;
    let qkv = if along_frames { qkv.transpose(0, 1)?.contiguous()? } else { qkv.contiguous()? };
    let (sequences, length, width) = qkv.dims3()?;
    let (size, head) = (width / 3, width / 3 / heads);
    let qkv = qkv.reshape((sequences, length, 3, heads, head))?;
    // [sequences, heads, length, head]
    let part = |index| qkv.narrow(2, index, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
    let (query, key, value): (Tensor, Tensor, Tensor) = (part(0)?, part(1)?, part(2)?);
    let query = query.narrow(2, skip, length - skip)?.contiguous()?;
    let scores = (product(&query, &key.transpose(2, 3)?.contiguous()?)? * (head as f64).powf(-0.5))?;
    let scores = if along_frames { scores.broadcast_add(&biases(bias, length, skip)?)? } else { scores };
    let mixed = product(&softmax(&scores, D::Minus1)?, &value)?;
    let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((sequences, length - skip, size))?;
    if along_frames { mixed.transpose(0, 1)?.contiguous() } else { Ok(mixed) }
}

/// From the bias of each head and distance to that of each head, query and key.
fn biases(bias: &Tensor, length: usize, skip: usize) -> Result<Tensor> {
    let (heads, span) = bias.dims2()?;
    let distance = |(query, key): (usize, usize)| match query.checked_sub(key) {
        Some(distance) if distance < span => distance as u32,
        _ => span as u32,
    };
    let pairs = (skip..length).flat_map(|query| (0..length).map(move |key| (query, key)));
    let distances: Vec<u32> = pairs.map(distance).collect();
    let count = distances.len();
    let unseen = Tensor::full(UNSEEN, (heads, 1), bias.device())?;
    Tensor::cat(&[bias, &unseen], 1)?
        .index_select(&Tensor::from_vec(distances, count, bias.device())?, 1)?
        .reshape((heads, length - skip, length))
}
