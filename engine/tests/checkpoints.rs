//! Checkpoints from files: round trips, imports, and everything that can be wrong with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use engine::checkpoint::{Checkpoint, FORMAT, Foreign, ForeignHints, Header, Precision, read_state_dict};
use engine::model::{Architecture, BandDptConfig, Growth, Mode, Params, WaveUnetDptConfig};
use engine::separator::ChunkPlan;
use engine::{Stem, checkpoint};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data").join(name)
}

fn small() -> (Header, BTreeMap<String, Tensor>) {
    let config = WaveUnetDptConfig {
        features: 8,
        growth: Growth::Add,
        levels: 2,
        stride: 2,
        ..WaveUnetDptConfig::default()
    };
    let architecture = Architecture::WaveUnetDpt(config);
    let params = Params::fresh(1, &Device::Cpu);
    architecture.build(&params).unwrap();
    let tensors = params.into_variables().into_iter().map(|(n, p)| (n, p.var.as_tensor().detach())).collect();
    let header = Header {
        format: FORMAT,
        architecture,
        sample_rate: 44_100,
        channels: 2,
        stems: Stem::ALL.to_vec(),
        consistency: true,
        chunk: Some(ChunkPlan { hop: 256, lookahead: 64, crossfade: 32, context: 128 }),
        provenance: checkpoint::Provenance::default(),
        metrics: Vec::new(),
    };
    (header, tensors)
}

fn bytes_of(header: Header, tensors: BTreeMap<String, Tensor>, precision: Precision) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    Checkpoint::new(header, tensors, "test").unwrap().write(&path, precision).unwrap();
    std::fs::read(path).unwrap()
}

fn good() -> Vec<u8> {
    let (header, tensors) = small();
    bytes_of(header, tensors, Precision::F32)
}

fn refusal(bytes: &[u8]) -> String {
    match Checkpoint::from_bytes(bytes, "broken.safetensors") {
        Ok(_) => panic!("a broken checkpoint was accepted"),
        Err(error) => error.to_string(),
    }
}

/// Replaces text in the header by text of the same length.
fn with_header_text(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("the text is in the header");
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn what_is_written_is_read_back() {
    let (header, tensors) = small();
    let read =
        Checkpoint::from_bytes(&bytes_of(header.clone(), tensors.clone(), Precision::F32), "test").unwrap();
    assert_eq!(read.header(), &header);
    for (name, tensor) in &tensors {
        let difference = (tensor - &read.tensors()[name]).unwrap().abs().unwrap().max_all().unwrap();
        assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0, "{name}");
    }
    let halved = Checkpoint::from_bytes(&bytes_of(header, tensors.clone(), Precision::F16), "test").unwrap();
    for (name, tensor) in &tensors {
        let difference = (tensor - &halved.tensors()[name]).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-3, "{name}");
    }
}

#[test]
fn a_checkpoint_cut_in_half_is_refused_by_name() {
    let bytes = good();
    for length in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        let text = refusal(&bytes[..length]);
        assert!(
            text.contains("broken.safetensors") && text.contains("not a whole safetensors file"),
            "{text}"
        );
    }
}

#[test]
fn an_absurd_size_in_the_header_is_refused_without_allocating_it() {
    let mut bytes = good();
    bytes[..8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    assert!(refusal(&bytes).contains("not a whole safetensors file"));
    // A network that no file of this size can hold.
    let text = refusal(&with_header_text(&good(), r#"\"features\":8,"#, r#"\"features\":9,"#));
    assert!(text.contains("multiples of 8") || text.contains("should have shape"), "{text}");
    let text = refusal(&with_header_text(&good(), r#"\"hop\":256"#, r#"\"hop\":9e9"#));
    assert!(text.contains("header is not valid"), "{text}");
    let text = refusal(&with_header_text(&good(), r#"\"levels\":2"#, r#"\"levels\":9"#));
    assert!(text.contains("is missing"), "{text}");
}

#[test]
fn a_wrong_shape_a_missing_and_a_superfluous_tensor_are_named() {
    let name = "unets.joint.output_conv.weight";
    let (header, tensors) = small();
    let refused = |tensors| match Checkpoint::new(header.clone(), tensors, "test") {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    let mut wrong = tensors.clone();
    wrong.insert(name.into(), Tensor::zeros((8, 9, 1), candle_core::DType::F32, &Device::Cpu).unwrap());
    let text = refused(wrong);
    assert!(text.contains(name) && text.contains("[8, 8, 1]") && text.contains("[8, 9, 1]"), "{text}");
    let mut missing = tensors.clone();
    missing.remove(name);
    assert!(refused(missing).contains(&format!("tensor {name} of shape [8, 8, 1] is missing")));
    let mut extra = tensors.clone();
    extra.insert("extra".into(), Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap());
    assert!(refused(extra).contains("tensor extra does not belong"));
}

#[test]
fn a_network_with_windows_has_a_plan_for_them_and_one_that_streams_has_none() {
    let refused = |header, tensors| match Checkpoint::new(header, tensors, "test") {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    };
    let (with_windows, tensors) = small();
    let plan = with_windows.chunk;
    let text = refused(Header { chunk: None, ..with_windows.clone() }, tensors);
    assert!(text.contains("wave_unet_dpt needs `chunk`"), "{text}");

    let architecture = Architecture::BandDpt(BandDptConfig {
        analysis_window: 64,
        synthesis_window: 32,
        hop: 16,
        bands: vec![1, 32],
        size: 8,
        blocks: 1,
        ..BandDptConfig::default()
    });
    let params = Params::fresh(1, &Device::Cpu);
    architecture.build(&params).unwrap();
    let tensors: BTreeMap<_, _> =
        params.into_variables().into_iter().map(|(n, p)| (n, p.var.as_tensor().detach())).collect();
    let header = Header { architecture, ..with_windows };
    let text = refused(header.clone(), tensors.clone());
    assert!(text.contains("band_dpt runs hop by hop and has no `chunk`"), "{text}");
    let bytes = bytes_of(Header { chunk: None, ..header }, tensors, Precision::F32);
    let read = Checkpoint::from_bytes(&bytes, "test").unwrap();
    assert_eq!(read.header().chunk, None);
    let spec = read.separator().unwrap().spec();
    assert_eq!((spec.hop, spec.latency), (16, 16));
    assert!(read.separator_with(plan.unwrap()).is_err());
}

#[test]
fn a_nan_is_refused_with_its_place() {
    let (header, mut tensors) = small();
    let poison = Tensor::new(&[0f32, 1.0, f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0], &Device::Cpu).unwrap();
    tensors.insert("unets.joint.output_conv.bias".into(), poison);
    let Err(error) = Checkpoint::new(header, tensors, "test") else { panic!("accepted") };
    let text = error.to_string();
    assert!(text.contains("output_conv.bias") && text.contains("NaN at index 2"), "{text}");
}

#[test]
fn later_formats_and_foreign_files_say_what_to_do() {
    let later = with_header_text(&good(), r#"\"format\":1"#, r#"\"format\":7"#);
    assert!(refusal(&later).contains("format 7") && refusal(&later).contains("update Tributary"));
    let foreign = std::fs::read(data("wave_unet_small.safetensors")).unwrap();
    assert!(refusal(&foreign).contains("trainer import"));
}

#[test]
fn random_damage_never_panics() {
    let bytes = good();
    let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut state = 1u64;
    let mut random = move |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    for _ in 0..2_000 {
        let mut broken = bytes.clone();
        for _ in 0..=random(4) {
            broken[random(header_end)] = random(256) as u8;
        }
        // Either outcome is fine; a panic or an abort is not.
        let _ = Checkpoint::from_bytes(&broken, "damaged");
    }
}

#[test]
fn imported_seed_checkpoints_agree_with_the_original_program() {
    let vectors =
        candle_core::safetensors::load(data("wave_unet_dpt_small.safetensors"), &Device::Cpu).unwrap();
    for file in ["seed_checkpoint_small.pt", "seed_checkpoint_small_dataparallel.pt"] {
        let state = read_state_dict(&data(file)).unwrap();
        let foreign = Foreign::recognise(state, &ForeignHints::default(), file).unwrap();
        let network = foreign.architecture.build(&Params::loaded(foreign.tensors, &Device::Cpu)).unwrap();
        let output = network.forward(&vectors["input"], Mode::Evaluate).unwrap();
        for stem in Stem::ALL {
            let ours = output.narrow(1, stem as usize, 1).unwrap().squeeze(1).unwrap();
            let theirs = &vectors[&format!("output.{stem}")];
            let difference = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f32>().unwrap() < 1e-4, "{file}: {stem}");
        }
    }
}

#[test]
fn broken_pytorch_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(data("seed_checkpoint_small.pt")).unwrap();
    for (name, bytes) in [("cut.pt", &whole[..whole.len() / 2]), ("text.pt", b"not a zip".as_slice())] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let text = read_state_dict(&path).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains("not a PyTorch checkpoint"), "{text}");
    }
    assert!(read_state_dict(&folder.path().join("absent.pt")).unwrap_err().to_string().contains("absent.pt"));
    let demucs = BTreeMap::from([(
        "encoder.0.conv.weight".to_owned(),
        Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap(),
    )]);
    let Err(error) = Foreign::recognise(demucs, &ForeignHints::default(), "demucs.th") else {
        panic!("accepted")
    };
    assert!(error.to_string().contains("not supported yet"));
}
