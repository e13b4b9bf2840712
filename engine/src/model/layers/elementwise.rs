//! Element-wise operations on whole windows, a single item on the calling thread.
//!
//! For large tensors candle's own would start and busy-wait for threads that no one asked for, inside the host.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::cpu::{each_item, slice, with_slice};
use super::plain;

/// Root mean square of each item of `[batch, ..]`.
pub fn levels(x: &Tensor) -> Result<Vec<f32>> {
    let per_item = x.elem_count() / x.dim(0)?.max(1);
    let level = |item: &[f32]| {
        let squares: f64 = item.iter().map(|x| f64::from(x * x)).sum();
        (squares / per_item as f64).sqrt() as f32
    };
    with_slice(x, |x| x.chunks_exact(per_item.max(1)).map(level).collect())
}

/// Each item of `[batch, ..]` times its own factor.
pub fn scale_items(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    if plain::is_for(x) {
        return plain::scale_items(x, factors);
    }
    x.contiguous()?.apply_op1(ScaleItems { factors })
}

/// Clamps to -1..=1. For inference: there is no gradient.
pub fn clamp_to_full_scale(x: &Tensor) -> Result<Tensor> {
    if plain::is_for(x) {
        return plain::clamp_to_full_scale(x);
    }
    x.contiguous()?.apply_op1_no_bwd(&ClampToFullScale)
}

/// Shares what `estimates` `[batch, stems, ..]` lack to `mixture` `[batch, ..]` equally, so that they add up to it.
/// There is no gradient of the mixture.
pub fn share_remainder(estimates: &Tensor, mixture: &Tensor) -> Result<Tensor> {
    if plain::is_for(estimates) {
        return plain::share_remainder(estimates, mixture);
    }
    estimates.contiguous()?.apply_op2(&mixture.detach().contiguous()?, ShareRemainder)
}

/// The middle frames of `shortcut` `[batch, many, a]` beside `x` `[batch, frames, b]`: `[batch, frames, a + b]`.
///
/// # Errors
/// Frames that cannot be cropped evenly.
pub fn join_cropped(shortcut: &Tensor, x: &Tensor) -> Result<Tensor> {
    match shortcut.dim(1)?.checked_sub(x.dim(1)?) {
        Some(extra) if extra.is_multiple_of(2) && plain::is_for(x) => {
            plain::join_cropped(shortcut, x, extra / 2)
        }
        Some(extra) if extra.is_multiple_of(2) => {
            shortcut.contiguous()?.apply_op2(&x.contiguous()?, JoinCropped { margin: extra / 2 })
        }
        _ => candle_core::bail!("{} frames cannot be cropped evenly to {}", shortcut.dim(1)?, x.dim(1)?),
    }
}

struct JoinCropped {
    /// Frames to crop at each end.
    margin: usize,
}

impl CustomOp2 for JoinCropped {
    fn name(&self) -> &'static str {
        "join-cropped"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (shortcut, x) = (slice(s1, l1)?, slice(s2, l2)?);
        let (batch, many, a) = l1.shape().dims3()?;
        let (_, frames, b) = l2.shape().dims3()?;
        let mut out = vec![0.0; batch * frames * (a + b)];
        each_item(batch, x, &mut out, |item, x, out| {
            let shortcut = &shortcut[(item * many + self.margin) * a..][..frames * a];
            let sides = shortcut.chunks_exact(a).zip(x.chunks_exact(b));
            for (out, (left, right)) in out.chunks_exact_mut(a + b).zip(sides) {
                out[..a].copy_from_slice(left);
                out[a..].copy_from_slice(right);
            }
        });
        Ok((CpuStorage::F32(out), (batch, frames, a + b).into()))
    }

    fn bwd(
        &self,
        shortcut: &Tensor,
        x: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (batch, _, a) = shortcut.dims3()?;
        let (_, frames, b) = x.dims3()?;
        let mut left = vec![0.0; shortcut.elem_count()];
        let mut right = vec![0.0; x.elem_count()];
        with_slice(grad, |grad| {
            each_item(batch, grad, &mut left, |_, grad, left| {
                let left = &mut left[self.margin * a..][..frames * a];
                let rows = left.chunks_exact_mut(a).zip(grad.chunks_exact(a + b));
                rows.for_each(|(left, grad)| left.copy_from_slice(&grad[..a]));
            });
            each_item(batch, grad, &mut right, |_, grad, right| {
                let rows = right.chunks_exact_mut(b).zip(grad.chunks_exact(a + b));
                rows.for_each(|(right, grad)| right.copy_from_slice(&grad[a..]));
            });
        })?;
        Ok((
            Some(Tensor::from_vec(left, shortcut.shape(), shortcut.device())?),
            Some(Tensor::from_vec(right, x.shape(), x.device())?),
        ))
    }
}

struct ShareRemainder;

/// Adds `(total - sum of stems) / stems` to every stem of one item, `[stems, frames]`; a missing total is 0.
fn share_item(total: Option<&[f32]>, stems: &mut [f32], frames: usize) {
    let count = stems.len() / frames.max(1);
    for frame in 0..frames {
        let sum: f32 = (0..count).map(|stem| stems[stem * frames + frame]).sum();
        let share = (total.map_or(0.0, |total| total[frame]) - sum) / count as f32;
        (0..count).for_each(|stem| stems[stem * frames + frame] += share);
    }
}

impl CustomOp2 for ShareRemainder {
    fn name(&self) -> &'static str {
        "share-remainder"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (estimates, mixture) = (slice(s1, l1)?, slice(s2, l2)?);
        let batch = l1.dims().first().copied().unwrap_or(0).max(1);
        let (per_item, frames) = (estimates.len() / batch, mixture.len() / batch);
        if frames == 0 || !per_item.is_multiple_of(frames) || l2.dims().first() != l1.dims().first() {
            candle_core::bail!("stems {:?} cannot add up to a mixture {:?}", l1.dims(), l2.dims());
        }
        let mut out = estimates.to_vec();
        for (stems, mixture) in out.chunks_exact_mut(per_item).zip(mixture.chunks_exact(frames)) {
            share_item(Some(mixture), stems, frames);
        }
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        _estimates: &Tensor,
        mixture: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let frames = mixture.elem_count() / mixture.dim(0)?.max(1);
        let per_item = grad.elem_count() / grad.dim(0)?.max(1);
        let mut out = with_slice(grad, <[f32]>::to_vec)?;
        out.chunks_exact_mut(per_item.max(1)).for_each(|stems| share_item(None, stems, frames));
        Ok((Some(Tensor::from_vec(out, grad.shape(), grad.device())?), None))
    }
}

struct ScaleItems {
    factors: Vec<f32>,
}

impl CustomOp1 for ScaleItems {
    fn name(&self) -> &'static str {
        "scale-items"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(storage, layout)?;
        let per_item = x.len() / self.factors.len().max(1);
        if layout.dims().first() != Some(&self.factors.len()) {
            candle_core::bail!("{} factors cannot scale {:?}", self.factors.len(), layout.dims());
        }
        let items = x.chunks_exact(per_item.max(1)).zip(&self.factors);
        let out = items.flat_map(|(item, factor)| item.iter().map(move |x| x * factor)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, _res: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        scale_items(grad, self.factors.clone()).map(Some)
    }
}

struct ClampToFullScale;

impl CustomOp1 for ClampToFullScale {
    fn name(&self) -> &'static str {
        "clamp-to-full-scale"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let out = slice(storage, layout)?.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}
