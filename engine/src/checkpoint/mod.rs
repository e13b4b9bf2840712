//! One `.safetensors` file: weights, plus a JSON header that says everything needed to run them.
//!
//! Files may come from strangers: nothing in them runs, nothing is allocated that the file does not hold,
//! and every defect is an error that names the file.

mod foreign;
mod header;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

pub use foreign::{Foreign, ForeignHints, read_state_dict};
pub use header::{FORMAT, Header, Metric, Provenance};

use crate::device::with_own_handles;
use crate::error::root_cause;
use crate::files::write_atomically;
use crate::model::{Architecture, BandDpt, Network, Params};
use crate::separator::{
    self, ChunkPlan, ChunkedSeparator, ReferenceStream, StreamingSeparator, WINDOWS_AT_ONCE,
};
use crate::{Error, Result, Separator, Stem};

/// The header's key in the safetensors metadata.
const KEY: &str = "tributary";

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// 16-bit floats, widened on reading.
    F16,
}

/// A checkpoint in memory, checked: its network can be built and every weight is finite.
pub struct Checkpoint {
    header: Header,
    tensors: BTreeMap<String, Tensor>,
    network: Arc<dyn Network>,
}

impl Checkpoint {
    /// Puts a header and f32 weights on the CPU together; `name` is for errors.
    ///
    /// # Errors
    /// A header that makes no network or no stream; a tensor that is missing, superfluous, of another shape
    /// than the architecture says, or not finite.
    pub fn new(header: Header, tensors: BTreeMap<String, Tensor>, name: &str) -> Result<Self> {
        let fail = |reason: String| Error::Checkpoint { name: name.to_owned(), reason };
        check_header(&header).map_err(fail)?;
        for (tensor_name, tensor) in &tensors {
            let values = tensor.flatten_all().and_then(|t| t.to_vec1::<f32>());
            let values = values.map_err(|e| fail(format!("tensor {tensor_name}: {e}")))?;
            if let Some(index) = values.iter().position(|v| !v.is_finite()) {
                return Err(fail(format!(
                    "tensor {tensor_name} holds {} at index {index}; the file is damaged or its training failed",
                    values[index]
                )));
            }
        }
        let params = Params::loaded(tensors.clone(), &Device::Cpu);
        let network = header.architecture.build(&params).map_err(|e| fail(root_cause(&e)))?;
        let checkpoint = Self { header, tensors, network };
        checkpoint.separator().map_err(|e| fail(e.to_string()))?;
        Ok(checkpoint)
    }

    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        Self::from_bytes(&bytes, &path.display().to_string())
    }

    /// Checks bytes, named for errors.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self> {
        let fail = |reason: String| Error::Checkpoint { name: name.to_owned(), reason };
        let broken = |e| fail(format!("is not a whole safetensors file ({e}); fetch or export it again"));
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let views = SafeTensors::deserialize(bytes).map_err(broken)?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or_else(|| {
            fail(format!("has no `{KEY}` header; use `trainer import` for checkpoints of other programs"))
        })?;
        // The version is looked at first, because a later format may have other fields.
        let version: Version =
            serde_json::from_str(json).map_err(|e| fail(format!("its `{KEY}` header is not valid: {e}")))?;
        if version.format != FORMAT {
            return Err(fail(format!(
                "has format {}, and this version reads format {FORMAT}; update Tributary",
                version.format
            )));
        }
        let header: Header =
            serde_json::from_str(json).map_err(|e| fail(format!("its `{KEY}` header is not valid: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (tensor_name, view) in views.iter() {
            let tensor = to_f32(&view).map_err(|reason| fail(format!("tensor {tensor_name}: {reason}")))?;
            tensors.insert(tensor_name.to_owned(), tensor);
        }
        Self::new(header, tensors, name)
    }

    /// Writes the file under a temporary name and renames it into place.
    pub fn write(&self, path: &Path, precision: Precision) -> Result<()> {
        let fail = |reason: String| Error::Checkpoint { name: path.display().to_string(), reason };
        let json = serde_json::to_string(&self.header).map_err(|e| fail(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        let stored = self
            .tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Stored::new(tensor, precision)?)))
            .collect::<Result<Vec<_>>>()?;
        let bytes = safetensors::serialize(stored, Some(metadata)).map_err(|e| fail(e.to_string()))?;
        write_atomically(path, |w| w.write_all(&bytes))
    }

    /// What the file says about itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The weights, f32.
    pub fn tensors(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Number of weights.
    pub fn parameters(&self) -> usize {
        self.tensors.values().map(Tensor::elem_count).sum()
    }

    /// The network, on the CPU.
    pub fn network(&self) -> Arc<dyn Network> {
        self.network.clone()
    }

    /// The network on this device, for work in the calling thread.
    ///
    /// # Errors
    /// The device has no room for it, or fails.
    pub fn network_on(&self, device: &Device) -> Result<Arc<dyn Network>> {
        if device.is_cpu() {
            return Ok(self.network());
        }
        Ok(self.header.architecture.build(&Params::loaded(self.tensors.clone(), device))?)
    }

    /// The separator that the plugin and the trainer run: on the CPU, on one thread.
    pub fn separator(&self) -> Result<Box<dyn Separator>> {
        match (&self.header.architecture, self.header.chunk) {
            (Architecture::BandDpt(_), _) => self.streaming(self.exact_precision()),
            (_, Some(chunk)) => self.separator_with(chunk),
            (other, None) => {
                Err(Error::Unsupported(format!("a {} runs on windows, which need a plan", other.name())))
            }
        }
    }

    /// Whether a card can run the network. Those that stream run on the CPU everywhere, by kernels of our own: their
    /// hops are too short to be worth the way to a card.
    pub fn runs_on_cards(&self) -> bool {
        !self.header.architecture.streams()
    }

    /// Windows that the network can take at once without hearing one in another.
    pub fn windows_at_once(&self) -> usize {
        if self.header.architecture.mixes_items() { 1 } else { WINDOWS_AT_ONCE }
    }

    /// As [`Self::separator`], on this device.
    ///
    /// # Errors
    /// As there, or it is a card that cannot run the network.
    pub fn separator_on(&self, device: &Device) -> Result<Box<dyn Separator>> {
        match self.header.chunk {
            _ if device.is_cpu() => self.separator(),
            Some(chunk) if self.runs_on_cards() => self.separator_on_with(device, chunk),
            _ => {
                let name = self.header.architecture.name();
                Err(Error::Unsupported(format!("a {name} runs hop by hop, which is done on the CPU only")))
            }
        }
    }

    /// As [`Self::separator_with`], on this device.
    ///
    /// # Errors
    /// As there, or it is a card that cannot run the network.
    pub fn separator_on_with(&self, device: &Device, chunk: ChunkPlan) -> Result<Box<dyn Separator>> {
        let mut separator = self.chunked(chunk)?;
        if !device.is_cpu() {
            let device = with_own_handles(device)?;
            let network = self.network_on(&device)?;
            // A card keeps to the order of one thread's work only, and the network will run in another.
            device.synchronize()?;
            separator.use_card(network, device, self.windows_at_once())?;
        }
        Ok(Box::new(separator))
    }

    /// A network that streams, with packed weights of this precision.
    ///
    /// # Errors
    /// A network that runs on windows.
    pub fn streaming(&self, precision: separator::Precision) -> Result<Box<dyn Separator>> {
        let Architecture::BandDpt(config) = &self.header.architecture else {
            return Err(self.not_streaming());
        };
        Ok(Box::new(StreamingSeparator::new(config, &self.tensors, self.header.sample_rate, precision)?))
    }

    /// A network that streams, by candle's operations instead of our kernels: slow, for comparison.
    ///
    /// # Errors
    /// A network that runs on windows.
    pub fn reference_stream(&self) -> Result<Box<dyn Separator>> {
        let Architecture::BandDpt(config) = &self.header.architecture else {
            return Err(self.not_streaming());
        };
        let network = BandDpt::new(&Params::loaded(self.tensors.clone(), &Device::Cpu), config)?;
        Ok(Box::new(ReferenceStream::new(Arc::new(network), self.header.sample_rate)))
    }

    fn not_streaming(&self) -> Error {
        let name = self.header.architecture.name();
        Error::Unsupported(format!("a {name} runs on windows, not hop by hop"))
    }

    /// Half precision where it loses nothing, as with weights from a half-precision file: half the memory to read.
    fn exact_precision(&self) -> separator::Precision {
        let is_half = |value: f32| half::f16::from_f32(value).to_f32().to_bits() == value.to_bits();
        let all = |tensor: &Tensor| {
            tensor.flatten_all().and_then(|t| t.to_vec1()).is_ok_and(|values| values.into_iter().all(is_half))
        };
        if self.tensors.values().all(all) { separator::Precision::F16 } else { separator::Precision::F32 }
    }

    /// The same with windows laid otherwise.
    ///
    /// # Errors
    /// A plan that does not suit the network, or a network that runs hop by hop, without windows.
    pub fn separator_with(&self, chunk: ChunkPlan) -> Result<Box<dyn Separator>> {
        Ok(Box::new(self.chunked(chunk)?))
    }

    fn chunked(&self, chunk: ChunkPlan) -> Result<ChunkedSeparator> {
        if self.header.architecture.streams() {
            let name = self.header.architecture.name();
            return Err(Error::Unsupported(format!(
                "a {name} runs hop by hop: it has no windows that overlap"
            )));
        }
        ChunkedSeparator::new(self.network.clone(), self.header.sample_rate, chunk)
    }
}

/// The part of the header that every format has.
#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

/// Windows and steps longer than this come from broken or hostile files.
const MAX_SECONDS: usize = 60;

fn check_header(header: &Header) -> Result<(), String> {
    let Header { architecture, sample_rate, channels, stems, consistency, chunk, .. } = header;
    if !(8_000..=192_000).contains(sample_rate) {
        return Err(format!("sample_rate must lie in 8000..=192000 Hz, not {sample_rate}"));
    }
    if *channels != 2 {
        return Err(format!("channels must be 2, not {channels}"));
    }
    if stems != &Stem::ALL {
        return Err(format!("stems must be drums, bass, other, vocals in this order, not {stems:?}"));
    }
    if !consistency {
        return Err("consistency must be true: every separator makes the stems add up to the mixture".into());
    }
    let Some(chunk) = chunk else {
        return if architecture.streams() {
            Ok(())
        } else {
            Err(format!("a {} needs `chunk`: how its windows are laid over a stream", architecture.name()))
        };
    };
    if architecture.streams() {
        return Err(format!("a {} runs hop by hop and has no `chunk`", architecture.name()));
    }
    let limit = MAX_SECONDS * *sample_rate as usize;
    if [chunk.hop, chunk.lookahead, chunk.crossfade, chunk.context].iter().any(|frames| *frames > limit) {
        return Err(format!("a chunk plan may not be longer than {MAX_SECONDS} s: {chunk:?}"));
    }
    Ok(())
}

/// One tensor of a safetensors file as f32.
fn to_f32(view: &TensorView<'_>) -> Result<Tensor, String> {
    let bytes = view.data();
    let values: Vec<f32> = match view.dtype() {
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => {
            bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()
        }
        other => return Err(format!("has type {other:?}; F32 and F16 are known")),
    };
    Tensor::from_vec(values, view.shape(), &Device::Cpu).map_err(|e| root_cause(&e))
}

/// A tensor's bytes as they stand in the file.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new(tensor: &Tensor, precision: Precision) -> Result<Self> {
        let values = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let (dtype, bytes) = match precision {
            Precision::F32 => (Dtype::F32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Precision::F16 => {
                (Dtype::F16, values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect())
            }
        };
        Ok(Self { dtype, shape: tensor.dims().to_vec(), bytes })
    }
}

impl safetensors::View for Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
