//! Kicks, snares and toms: a recipe for each family, and one way to cook it.

use super::super::dsp::{Noise, Svf, frames};
use super::family::{Family, Make};
use super::shapes::{burst, fm, hiss, layers, membrane, overdrive, scrap, swept};

/// A kick: a falling sine, a skin, the shell's thump and the beater's click.
struct Kick {
    hz: f32,
    sweep: f32,
    /// Seconds in which the pitch falls.
    fall: f32,
    t60: f32,
    drive: f32,
    skin: f32,
    shell: f32,
    click_hz: f32,
    click: f32,
    fm: f32,
}

#[rustfmt::skip]
fn kick_recipe(family: Family) -> Kick {
    let [hz, sweep, fall, t60, drive, skin, shell, click_hz, click, fm] = match family {
        Family::Acoustic =>   [58.0, 1.3, 0.018, 0.36, 0.0, 0.16, 0.30, 3_200.0, 0.35, 0.0],
        Family::Rock =>       [54.0, 2.2, 0.014, 0.42, 0.8, 0.20, 0.30, 4_800.0, 0.70, 0.0],
        Family::Metal =>      [66.0, 2.5, 0.009, 0.18, 1.2, 0.10, 0.10, 5_500.0, 1.00, 0.0],
        Family::Brushes =>    [62.0, 0.5, 0.020, 0.30, 0.0, 0.05, 0.50, 1_500.0, 0.05, 0.0],
        Family::Hands =>      [84.0, 0.6, 0.020, 0.25, 0.0, 0.35, 0.50, 2_000.0, 0.30, 0.0],
        Family::Orchestral => [42.0, 0.3, 0.060, 1.20, 0.0, 0.40, 0.25,   800.0, 0.10, 0.0],
        Family::Tr808 =>      [46.0, 1.2, 0.025, 1.00, 1.2, 0.00, 0.00, 2_500.0, 0.12, 0.0],
        Family::Tr909 =>      [52.0, 5.0, 0.022, 0.42, 1.5, 0.00, 0.00, 4_000.0, 0.40, 0.0],
        Family::Digital =>    [60.0, 2.5, 0.012, 0.22, 0.6, 0.10, 0.20, 3_000.0, 0.50, 0.0],
        Family::Electronic => [55.0, 9.0, 0.030, 0.35, 0.5, 0.00, 0.00, 3_500.0, 0.30, 0.35],
        Family::Industrial => [50.0, 6.0, 0.040, 0.40, 4.0, 0.20, 0.40, 1_800.0, 0.50, 0.25],
        Family::Lofi =>       [58.0, 1.3, 0.020, 0.30, 1.0, 0.20, 0.30, 1_800.0, 0.25, 0.0],
        Family::Break =>      [70.0, 1.2, 0.015, 0.22, 1.5, 0.25, 0.40, 2_600.0, 0.40, 0.0],
        Family::Glitch =>     [50.0, 14.0, 0.006, 0.15, 0.8, 0.00, 0.00, 6_000.0, 0.50, 0.20],
    };
    Kick { hz, sweep, fall, t60, drive, skin, shell, click_hz, click, fm }
}

/// A bass drum.
pub fn kick(family: Family, m: &Make, noise: &mut Noise) -> Vec<f32> {
    let k = kick_recipe(family);
    let bright = 2f32.powf(m.colour);
    let hz = k.hz * m.pitch;
    let mut sound = layers(
        &[
            (1.0, &|_: &mut Noise| swept(hz, k.sweep * m.sweep, k.fall, k.t60 * m.length)),
            (k.skin, &|_: &mut Noise| membrane(m, hz * 1.4, 0.22 * m.length, 2.0 - m.colour, 8)),
            (k.fm, &|_: &mut Noise| fm(180.0 * m.pitch, 1.7, 4.0 * bright, 0.06 * m.length)),
            (k.shell * m.noise, &|noise: &mut Noise| burst(noise, 220.0 * bright, 0.7, 0.09 * m.length)),
            (k.click * m.noise * bright.sqrt(), &|noise: &mut Noise| {
                burst(noise, k.click_hz * bright, 0.6, 0.014)
            }),
        ],
        noise,
    );
    overdrive(&mut sound, k.drive * m.noise);
    sound
}

/// A snare drum: what rings (a skin, two sines, frequency modulation or scrap), wires in two bands, and the stick.
struct Snare {
    hz: f32,
    t60: f32,
    skin: f32,
    tone: f32,
    fm: f32,
    scrap: f32,
    wires_hz: f32,
    wires_t60: f32,
    wires: f32,
    rattle: f32,
    stick: f32,
}

#[rustfmt::skip]
fn snare_recipe(family: Family) -> Snare {
    let [hz, t60, skin, tone, fm, scrap, wires_hz, wires_t60, wires, rattle, stick] = match family {
        Family::Acoustic | Family::Brushes =>
                              [185.0, 0.22, 0.40, 0.0, 0.0, 0.0, 1_400.0, 0.20, 0.30, 0.40, 0.50],
        Family::Rock =>       [150.0, 0.38, 0.45, 0.4, 0.0, 0.0,   900.0, 0.36, 0.40, 0.60, 0.60],
        Family::Metal =>      [220.0, 0.14, 0.40, 0.4, 0.0, 0.0, 1_800.0, 0.14, 0.40, 0.35, 0.90],
        Family::Hands =>      [240.0, 0.30, 0.40, 0.0, 0.0, 0.0, 1_500.0, 0.05, 0.20, 0.70, 0.30],
        Family::Orchestral => [210.0, 0.20, 0.25, 0.0, 0.0, 0.0, 2_200.0, 0.35, 0.40, 0.30, 0.35],
        Family::Tr808 =>      [180.0, 0.16, 0.00, 1.0, 0.0, 0.0, 1_800.0, 0.18, 0.40, 0.00, 0.00],
        Family::Tr909 =>      [190.0, 0.15, 0.00, 1.0, 0.0, 0.0,   900.0, 0.26, 0.45, 0.00, 0.20],
        Family::Digital =>    [200.0, 0.20, 0.20, 0.6, 0.0, 0.0, 1_600.0, 0.32, 0.50, 0.30, 0.40],
        Family::Electronic => [210.0, 0.16, 0.00, 0.0, 0.7, 0.0, 1_900.0, 0.20, 0.35, 0.50, 0.00],
        Family::Industrial => [300.0, 0.25, 0.00, 0.3, 0.0, 0.3, 1_000.0, 0.14, 0.50, 0.30, 0.30],
        Family::Lofi =>       [195.0, 0.20, 0.40, 0.2, 0.0, 0.0, 1_000.0, 0.20, 0.30, 0.50, 0.30],
        Family::Break =>      [235.0, 0.16, 0.40, 0.2, 0.0, 0.0, 1_600.0, 0.16, 0.40, 0.50, 0.40],
        Family::Glitch =>     [400.0, 0.06, 0.00, 0.3, 0.5, 0.0, 3_000.0, 0.06, 0.60, 0.00, 0.60],
    };
    Snare { hz, t60, skin, tone, fm, scrap, wires_hz, wires_t60, wires, rattle, stick }
}

/// A snare drum, side stick or brush.
pub fn snare(family: Family, m: &Make, noise: &mut Noise) -> Vec<f32> {
    let bright = 2f32.powf(0.7 * m.colour);
    if family == Family::Brushes {
        return brush(m, noise, bright);
    }
    let s = snare_recipe(family);
    let hz = s.hz * m.pitch;
    if family.is_recorded() && m.seed.is_multiple_of(11) {
        // The stick lies on the skin and hits the rim.
        return layers(
            &[
                (0.8, &|_: &mut Noise| membrane(m, 3.6 * hz, 0.09 * m.length, 0.3, 6)),
                (0.6, &|noise: &mut Noise| burst(noise, 2_400.0 * bright, 1.5, 0.03)),
            ],
            noise,
        );
    }
    layers(
        &[
            (s.skin, &|_: &mut Noise| membrane(m, hz, s.t60 * m.length, 1.2 - m.colour, 10)),
            (s.tone, &|_: &mut Noise| swept(hz, 0.6 * m.sweep, 0.025, s.t60 * m.length)),
            (0.5 * s.tone, &|_: &mut Noise| swept(1.8 * hz, 0.3 * m.sweep, 0.02, 0.7 * s.t60 * m.length)),
            (s.fm, &|_: &mut Noise| fm(hz, 2.3, 5.0 * bright, s.t60 * m.length)),
            (s.scrap, &|_: &mut Noise| scrap(m, s.hz, 14, s.t60 * m.length)),
            (s.wires * m.noise, &|noise: &mut Noise| {
                hiss(noise, s.wires_hz * bright, s.wires_t60 * m.length)
            }),
            (1.5 * s.rattle * m.noise, &|noise: &mut Noise| {
                burst(noise, 900.0 * bright, 0.5, 0.13 * m.length)
            }),
            (s.stick, &|noise: &mut Noise| burst(noise, 3_500.0 * bright, 0.6, 0.012)),
        ],
        noise,
    )
}

/// A brush arrives slowly and stirs.
fn brush(m: &Make, noise: &mut Noise, bright: f32) -> Vec<f32> {
    let stir = |noise: &mut Noise| {
        let mut filter = Svf::new(2_400.0 * bright, 0.4);
        let length = frames(0.28 * m.length);
        (0..length)
            .map(|i| {
                let t = i as f32 / length as f32;
                filter.next(noise.next()).band * (t * 9.0).min(1.0) * (1.0 - t).powi(2)
            })
            .collect()
    };
    layers(&[(m.noise, &stir), (0.2, &|_: &mut Noise| membrane(m, 200.0 * m.pitch, 0.14, 1.8, 6))], noise)
}

/// A tom of the given fundamental.
pub fn tom(family: Family, m: &Make, noise: &mut Noise, hz: f32) -> Vec<f32> {
    // Levels of sine, skin, scrap and stick; sweep, its seconds, and the decay.
    let [tone, skin, plate, stick, sweep, fall, t60] = match family {
        Family::Acoustic | Family::Brushes => [0.8, 0.25, 0.0, 0.4, 0.35, 0.04, 0.45],
        Family::Rock => [1.0, 0.25, 0.0, 0.5, 0.5, 0.05, 0.7],
        Family::Metal => [1.0, 0.2, 0.0, 0.9, 0.6, 0.03, 0.4],
        Family::Hands => [0.5, 0.4, 0.0, 0.5, 0.15, 0.03, 0.35],
        // Timpani.
        Family::Orchestral => [0.3, 0.5, 0.0, 0.1, 0.05, 0.1, 1.4],
        Family::Tr808 | Family::Tr909 => [1.0, 0.0, 0.0, 0.2, 0.6, 0.05, 0.5],
        Family::Digital => [1.0, 0.2, 0.0, 0.4, 0.6, 0.08, 0.45],
        Family::Electronic => [1.0, 0.0, 0.0, 0.1, 3.0, 0.12, 0.4],
        Family::Industrial => [0.3, 0.0, 0.5, 0.3, 1.0, 0.05, 0.5],
        Family::Lofi | Family::Break => [0.8, 0.3, 0.0, 0.4, 0.4, 0.03, 0.35],
        Family::Glitch => [1.0, 0.0, 0.2, 0.3, 6.0, 0.02, 0.15],
    };
    let hz = hz * m.pitch;
    let length = t60 * m.length;
    layers(
        &[
            (tone, &|_: &mut Noise| swept(hz, sweep * m.sweep, fall, length)),
            (skin, &|_: &mut Noise| membrane(m, hz, 1.2 * length, 1.5 - m.colour, 9)),
            (plate, &|_: &mut Noise| scrap(m, 1.5 * hz, 12, length)),
            (stick * m.noise, &|noise: &mut Noise| burst(noise, 2_200.0 * 2f32.powf(m.colour), 0.5, 0.015)),
        ],
        noise,
    )
}
