//! Checkpoints of other programs: the seed's and Wave-U-Net-Pytorch's state dicts.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::pickle::read_all_with_key;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::SafeTensors;

use crate::model::layers::Recurrence;
use crate::model::{Architecture, ConvKind, Growth, Resampling, WaveUnetConfig, WaveUnetDptConfig};
use crate::{Error, Result, STEMS, Stem};

/// What a state dict does not say. The defaults are the original programs' own.
#[derive(Debug, Clone, PartialEq)]
pub struct ForeignHints {
    /// Resampling factor between levels.
    pub stride: usize,
    /// Attention heads (seed).
    pub heads: usize,
    /// The LSTM's axis (seed); as released it runs per frame.
    pub recurrence: Recurrence,
    /// Order of the stems in a joint network's outputs.
    pub stems: [Stem; STEMS],
}

impl Default for ForeignHints {
    fn default() -> Self {
        let stems = [Stem::Bass, Stem::Drums, Stem::Other, Stem::Vocals];
        Self { stride: 4, heads: 4, recurrence: Recurrence::Frame, stems }
    }
}

/// A foreign network in our terms.
pub struct Foreign {
    /// Inferred from names and shapes, and from the hints.
    pub architecture: Architecture,
    /// Weights under our names.
    pub tensors: BTreeMap<String, Tensor>,
}

/// Reads a PyTorch (`.pt`, `.pth`, `.th`) or safetensors state dict as f32, without running anything in it.
/// Training checkpoints that keep it under `model_state_dict` or `state_dict` are recognised.
///
/// # Errors
/// The file is neither, or broken, or holds no tensors.
pub fn read_state_dict(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let fail = |reason: String| Error::Checkpoint { name: path.display().to_string(), reason };
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let tensors = if extension.eq_ignore_ascii_case("safetensors") {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let views = SafeTensors::deserialize(&bytes)
            .map_err(|e| fail(format!("is not a whole safetensors file ({e})")))?;
        let tensors = views.iter().filter(|(_, view)| view.dtype() != safetensors::Dtype::I64);
        tensors
            .map(|(name, view)| Ok((name.to_owned(), super::to_f32(&view).map_err(fail)?)))
            .collect::<Result<BTreeMap<_, _>>>()?
    } else {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let mut copy = tempfile::NamedTempFile::new().map_err(Error::io("copy", path))?;
        copy.write_all(&without_zip64_records(bytes)).map_err(Error::io("copy", path))?;
        let keys = [Some("model_state_dict"), Some("state_dict"), Some("state"), None];
        let read = |key: &Option<&str>| read_all_with_key(copy.path(), *key).ok().filter(|t| !t.is_empty());
        let tensors = keys.iter().find_map(read).ok_or_else(|| {
            fail(
                "is not a PyTorch checkpoint with a state dict, or is cut off; save the state dict again"
                    .into(),
            )
        })?;
        let float = tensors.into_iter().filter(|(_, tensor)| tensor.dtype().is_float());
        float.map(|(name, t)| Ok((name, t.to_dtype(DType::F32)?.contiguous()?))).collect::<Result<_>>()?
    };
    if tensors.is_empty() {
        return Err(fail("holds no tensors".into()));
    }
    Ok(tensors)
}

/// PyTorch ends its archives with zip64 records even when they are small. The zip reader then looks for the
/// directory too late by their length, and by chance finds its second entry there. Without them it looks right.
fn without_zip64_records(mut bytes: Vec<u8>) -> Vec<u8> {
    const END_LENGTH: usize = 22;
    const RECORDS_LENGTH: usize = 76;
    let Some(end) = bytes.len().checked_sub(END_LENGTH) else { return bytes };
    let field = |at: usize| bytes.get(end + at..end + at + 4).map(|b| [b[0], b[1], b[2], b[3]]);
    let (Some(signature), Some(size), Some(offset)) = (field(0), field(12), field(16)) else { return bytes };
    let directory_end = u64::from(u32::from_le_bytes(size)) + u64::from(u32::from_le_bytes(offset));
    if signature == *b"PK\x05\x06" && directory_end + RECORDS_LENGTH as u64 == end as u64 {
        bytes.drain(end - RECORDS_LENGTH..end);
    }
    bytes
}

impl Foreign {
    /// Recognises a state dict, renames its tensors and infers the sizes; `name` is for errors.
    ///
    /// # Errors
    /// Names of no network that we know, or of a variant that we do not have.
    pub fn recognise(state: BTreeMap<String, Tensor>, hints: &ForeignHints, name: &str) -> Result<Self> {
        let fail = |reason: String| Error::Checkpoint { name: name.to_owned(), reason };
        let mut tensors = BTreeMap::new();
        let mut seed = None;
        for (foreign, tensor) in state {
            let stripped = foreign.strip_prefix("module.").unwrap_or(&foreign);
            let stripped = stripped.strip_prefix("model.").unwrap_or(stripped);
            let family = match stripped.split('.').next() {
                Some("alexunets") => true,
                Some("waveunets") => false,
                _ => {
                    return Err(fail(format!(
                        "tensor {foreign} belongs to an architecture that is not supported yet; \
                         the seed's and Wave-U-Net-Pytorch's are"
                    )));
                }
            };
            if *seed.get_or_insert(family) != family {
                return Err(fail("mixes tensors of two architectures".into()));
            }
            if !stripped.ends_with("num_batches_tracked") {
                tensors.insert(our_name(stripped), tensor);
            }
        }
        let seed = seed.ok_or_else(|| fail("holds no tensors".into()))?;
        let separate = !tensors.keys().any(|name| name.starts_with("unets.joint."));
        if !separate && hints.stems != Stem::ALL {
            reorder_outputs(&mut tensors, hints.stems)?;
        }
        let shapes =
            Shapes { tensors: &tensors, prefix: if separate { "unets.drums." } else { "unets.joint." } };
        let architecture = shapes
            .architecture(seed, separate, hints)
            .ok_or_else(|| fail("lacks the tensors that tell its sizes; is it a whole state dict?".into()))?;
        Ok(Self { architecture, tensors })
    }
}

/// The original's tensor name in our words.
fn our_name(name: &str) -> String {
    let words = [
        ("alexunets.", "unets."),
        ("waveunets.", "unets."),
        (".ALL.", ".joint."),
        (".encoder_blocks.", ".encoder."),
        (".downsampling_blocks.", ".encoder."),
        (".decoder_blocks.", ".decoder."),
        (".upsampling_blocks.", ".decoder."),
        (".pre_shortcut_convs.0.", ".pre_shortcut."),
        (".post_shortcut_convs.0.", ".post_shortcut."),
        (".downconv.", ".resample."),
        (".upconv.", ".resample."),
        (".bottlenecks.0.", ".bottleneck."),
    ];
    words.iter().fold(name.to_owned(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// Puts the rows of a joint network's output layer into our order of stems.
fn reorder_outputs(tensors: &mut BTreeMap<String, Tensor>, theirs: [Stem; STEMS]) -> candle_core::Result<()> {
    let rows = Stem::ALL.iter().flat_map(|stem| {
        let index = theirs.iter().position(|s| s == stem).unwrap_or(*stem as usize) as u32;
        [2 * index, 2 * index + 1]
    });
    let rows = Tensor::from_iter(rows, &Device::Cpu)?;
    for name in ["unets.joint.output_conv.weight", "unets.joint.output_conv.bias"] {
        if let Some(tensor) = tensors.get_mut(name) {
            *tensor = tensor.index_select(&rows, 0)?;
        }
    }
    Ok(())
}

/// Sizes read off tensor shapes.
struct Shapes<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    prefix: &'static str,
}

impl Shapes<'_> {
    fn dim(&self, name: &str, axis: usize) -> Option<usize> {
        self.tensors.get(&format!("{}{name}", self.prefix))?.dims().get(axis).copied()
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(&format!("{}{name}", self.prefix))
    }

    fn architecture(&self, seed: bool, separate: bool, hints: &ForeignHints) -> Option<Architecture> {
        let features = self.dim("encoder.0.pre_shortcut.filter.weight", 0)?;
        let kernel_size = self.dim("encoder.0.pre_shortcut.filter.weight", 2)?;
        let blocks =
            (0..).take_while(|i| self.has(&format!("encoder.{i}.pre_shortcut.filter.weight"))).count();
        let lowest = self.dim(&format!("encoder.{}.post_shortcut.filter.weight", blocks - 1), 0)?;
        let growth =
            [Growth::Double, Growth::Add].into_iter().find(|g| g.channels(features, blocks) == lowest)?;
        let resampling =
            if self.has("encoder.0.resample.filter") { Resampling::Fixed } else { Resampling::Learned };
        let (levels, stride) = (blocks + 1, hints.stride);
        if !seed {
            let conv = match (
                self.has("encoder.0.pre_shortcut.norm.running_mean"),
                self.has("encoder.0.pre_shortcut.norm.weight"),
            ) {
                (true, _) => ConvKind::Bn,
                (false, true) => ConvKind::Gn,
                (false, false) => ConvKind::Normal,
            };
            let config =
                WaveUnetConfig { features, growth, levels, kernel_size, stride, resampling, conv, separate };
            return Some(Architecture::WaveUnet(config));
        }
        let lstm = |layer| format!("bottleneck.transformer.lstm.weight_ih_l{layer}");
        Some(Architecture::WaveUnetDpt(WaveUnetDptConfig {
            features,
            growth,
            levels,
            kernel_size,
            stride,
            resampling,
            separate,
            heads: hints.heads,
            hidden: self.dim("bottleneck.transformer.lstm.weight_hh_l0", 1)?,
            lstm_layers: (0..).take_while(|layer| self.has(&lstm(*layer))).count(),
            recurrence: hints.recurrence,
            ..Default::default()
        }))
    }
}
