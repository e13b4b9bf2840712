//! Claps and small percussion.

use super::super::dsp::{Mode, Noise, Osc, Svf, add, decay, frames};
use super::family::{Family, Make};
use super::shapes::{burst, hiss, membrane, rung, scrap, soften, swept};

/// Several hands, not quite together.
pub fn clap(m: &Make, noise: &mut Noise) -> Vec<f32> {
    let hz = 1_150.0 * m.pitch * 2f32.powf(0.4 * m.colour);
    let hands = 2 + (m.seed % 4) as usize;
    let spacing = 0.009 * m.length;
    let start = frames(spacing * (hands - 1) as f32);
    let tail = burst(noise, hz, 0.9, 0.22 * m.length);
    let mut out = vec![0.0; start + tail.len()];
    for hand in 0..hands {
        let hz = hz * (1.0 + 0.05 * noise.next());
        let clap = burst(noise, hz, 1.1, 0.018);
        add(&mut out, frames(spacing * (hand as f32 + 0.15 * noise.next())), &clap, 1.0);
    }
    add(&mut out, start, &tail, 0.6);
    out
}

/// Small percussion. Which instrument it is follows from the make.
#[derive(Clone, Copy)]
enum Small {
    Conga,
    Bongo,
    Djembe,
    Tabla,
    Shaker,
    Tambourine,
    Woodblock,
    Claves,
    Cowbell,
    Agogo,
    Triangle,
    Guiro,
    Snap,
    Timbale,
    Scrap,
    Blip,
}

const PLAYED: [Small; 14] = [
    Small::Conga,
    Small::Bongo,
    Small::Djembe,
    Small::Tabla,
    Small::Shaker,
    Small::Tambourine,
    Small::Woodblock,
    Small::Claves,
    Small::Cowbell,
    Small::Agogo,
    Small::Triangle,
    Small::Guiro,
    Small::Snap,
    Small::Timbale,
];
const MACHINES: [Small; 8] = [
    Small::Blip,
    Small::Scrap,
    Small::Cowbell,
    Small::Claves,
    Small::Snap,
    Small::Shaker,
    Small::Conga,
    Small::Tambourine,
];

/// One stroke on small percussion.
pub fn percussion(family: Family, m: &Make, noise: &mut Noise) -> Vec<f32> {
    let choices: &[Small] = if family.is_recorded() { &PLAYED } else { &MACHINES };
    let (pitch, length) = (m.pitch, m.length);
    match choices[(m.seed / 16 % choices.len() as u64) as usize] {
        Small::Conga => drum(m, noise, 220.0, 0.3, 1_800.0),
        Small::Bongo => drum(m, noise, 390.0, 0.16, 2_600.0),
        Small::Djembe => {
            let mut out = drum(m, noise, 300.0, 0.2, 2_200.0);
            add(&mut out, 0, &swept(78.0 * pitch, 0.1, 0.02, 0.2 * length), 1.2 * (1.0 - m.place));
            out
        }
        Small::Tabla => {
            // Its weighted skin is nearly harmonic, and the heel of the hand bends it up.
            let partials = [1.0, 2.0, 3.01, 4.01, 5.03];
            let mut out = rung(&partials.map(|r| Mode {
                hz: 260.0 * pitch * r,
                amplitude: 0.4 / r,
                t60: 0.45 * length / r.sqrt(),
            }));
            let bent = swept(95.0 * pitch, -0.25 * m.sweep.min(1.5), 0.08, 0.35 * length);
            add(&mut out, 0, &bent, 0.7 * m.place);
            add(&mut out, 0, &burst(noise, 2_000.0, 0.8, 0.012), 0.4 * m.noise);
            out
        }
        Small::Shaker => {
            let mut shake = burst(noise, 6_000.0 * pitch, 0.6, 0.09 * length);
            soften(&mut shake, 0.02);
            shake
        }
        Small::Tambourine => {
            let jingles = [5_100.0, 6_230.0, 7_480.0, 8_900.0, 10_700.0, 12_100.0, 13_900.0, 9_700.0];
            let mut out =
                rung(&jingles.map(|hz| Mode { hz: hz * pitch, amplitude: 0.2, t60: 0.22 * length }));
            add(&mut out, 0, &hiss(noise, 6_000.0, 0.1 * length), 0.7 * m.noise);
            out
        }
        Small::Woodblock => bar(pitch * 780.0, &[1.0, 2.57, 4.1, 6.3], 0.09 * length),
        Small::Claves => bar(pitch * 2_450.0, &[1.0, 2.76], 0.06 * length),
        Small::Cowbell => bell(m, 545.0, 815.0, 0.3),
        Small::Agogo => bell(m, 910.0, 1_420.0, 0.35),
        Small::Triangle => bar(pitch * 1_250.0, &[1.0, 2.76, 5.4, 8.93, 1.51, 3.3], 1.2 * length),
        Small::Guiro => {
            // A stick over grooves.
            let grooves = 10 + (m.seed % 12) as usize;
            let spacing = frames(0.013 * length);
            let mut out = vec![0.0; grooves * spacing + frames(0.02)];
            for groove in 0..grooves {
                let scrape = burst(noise, 3_200.0 * pitch, 1.5, 0.012);
                add(&mut out, groove * spacing, &scrape, 0.4 + 0.6 * groove as f32 / grooves as f32);
            }
            out
        }
        Small::Snap => {
            let mut out = burst(noise, 2_300.0 * pitch, 2.5, 0.05 * length);
            add(&mut out, frames(0.006), &burst(noise, 1_700.0 * pitch, 3.0, 0.07 * length), 0.8);
            out
        }
        Small::Timbale => {
            let mut out = drum(m, noise, 310.0, 0.45, 3_500.0);
            add(&mut out, 0, &scrap(m, 900.0, 8, 0.3 * length), 0.08);
            out
        }
        Small::Scrap => scrap(m, 500.0, 16, 0.35 * length),
        Small::Blip => swept(900.0 * pitch, 1.5 * m.sweep, 0.02, 0.08 * length),
    }
}

/// A hand drum.
fn drum(m: &Make, noise: &mut Noise, hz: f32, t60: f32, slap_hz: f32) -> Vec<f32> {
    let mut out = membrane(m, hz * m.pitch, t60 * m.length, 1.3 - 0.5 * m.colour, 8);
    add(&mut out, 0, &burst(noise, slap_hz, 0.6, 0.02), (0.4 + m.place) * m.noise);
    out
}

/// A struck bar or rod.
fn bar(hz: f32, ratios: &[f32], t60: f32) -> Vec<f32> {
    let modes: Vec<Mode> = ratios
        .iter()
        .enumerate()
        .map(|(i, r)| Mode {
            hz: hz * r,
            amplitude: 0.6 / (1.0 + i as f32).sqrt(),
            t60: t60 / (1.0 + 0.2 * i as f32),
        })
        .collect();
    rung(&modes)
}

/// Two square waves through a band.
fn bell(m: &Make, low_hz: f32, high_hz: f32, t60: f32) -> Vec<f32> {
    let (mut low, mut high) = (Osc::new(0.0), Osc::new(0.3));
    let mut filter = Svf::new(2.4 * high_hz * m.pitch, 1.0);
    let fade = decay(t60 * m.length);
    let mut level = 1.0;
    (0..frames(t60 * m.length))
        .map(|_| {
            level *= fade;
            let tone = low.pulse(low_hz * m.pitch, 0.5) + high.pulse(high_hz * m.pitch, 0.5);
            filter.next(tone).band * level
        })
        .collect()
}
