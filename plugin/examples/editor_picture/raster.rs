//! Paints egui's triangles in software.

use std::collections::HashMap;

use egui::epaint::{ClippedPrimitive, ImageData, ImageDelta, Mesh, Primitive, Vertex};
use egui::{Color32, Rect, TextureId, TexturesDelta};

/// A picture, and the textures that it is painted with.
pub struct Raster {
    pub width: usize,
    pub height: usize,
    /// Pixels per point.
    scale: f32,
    /// Premultiplied RGBA, 0 to 255, row by row.
    pixels: Vec<[f32; 4]>,
    textures: HashMap<TextureId, Texture>,
}

struct Texture {
    size: [usize; 2],
    pixels: Vec<Color32>,
}

impl Raster {
    /// Nothing painted yet.
    pub fn new(width: usize, height: usize, scale: f32) -> Self {
        Self { width, height, scale, pixels: vec![[0.0; 4]; width * height], textures: HashMap::new() }
    }

    /// Takes over what egui changed in its textures.
    pub fn textures(&mut self, delta: &TexturesDelta) {
        for (id, ImageDelta { image, pos, .. }) in &delta.set {
            let ImageData::Color(image) = image;
            match pos {
                None => {
                    let texture = Texture { size: image.size, pixels: image.pixels.clone() };
                    self.textures.insert(*id, texture);
                }
                Some([left, top]) => {
                    let Some(texture) = self.textures.get_mut(id) else { continue };
                    for (row, line) in image.pixels.chunks(image.size[0]).enumerate() {
                        let at = (top + row) * texture.size[0] + left;
                        texture.pixels[at..at + line.len()].copy_from_slice(line);
                    }
                }
            }
        }
    }

    /// Paints in order.
    pub fn paint(&mut self, primitives: Vec<ClippedPrimitive>) {
        for ClippedPrimitive { clip_rect, primitive } in primitives {
            if let Primitive::Mesh(mesh) = primitive {
                self.mesh(clip_rect, &mesh);
            }
        }
    }

    /// Three bytes a pixel, row by row.
    pub fn rgb(&self) -> Vec<u8> {
        self.pixels
            .iter()
            .flat_map(|pixel| [0, 1, 2].map(|c| pixel[c].round().clamp(0.0, 255.0) as u8))
            .collect()
    }

    fn mesh(&mut self, clip: Rect, mesh: &Mesh) {
        let Some(texture) = self.textures.get(&mesh.texture_id) else { return };
        for triangle in mesh.indices.chunks_exact(3) {
            let corners = [0, 1, 2].map(|corner| mesh.vertices[triangle[corner] as usize]);
            triangle_pixels(clip, self.scale, [self.width, self.height], corners, |x, y, weights| {
                let mix = |value: fn(&Vertex) -> f32| -> f32 {
                    corners.iter().zip(weights).map(|(corner, weight)| weight * value(corner)).sum()
                };
                let texel = texture.sample(mix(|v| v.uv.x), mix(|v| v.uv.y));
                let color = [
                    mix(|v| f32::from(v.color.r())),
                    mix(|v| f32::from(v.color.g())),
                    mix(|v| f32::from(v.color.b())),
                    mix(|v| f32::from(v.color.a())),
                ];
                let source: [f32; 4] = std::array::from_fn(|c| color[c] * texel[c] / 255.0);
                let pixel = &mut self.pixels[y * self.width + x];
                for c in 0..4 {
                    pixel[c] = source[c] + pixel[c] * (1.0 - source[3] / 255.0);
                }
            });
        }
    }
}

/// Calls `paint` with each pixel whose middle lies in the triangle, and with its corners' weights there.
fn triangle_pixels(
    clip: Rect,
    scale: f32,
    [width, height]: [usize; 2],
    corners: [Vertex; 3],
    mut paint: impl FnMut(usize, usize, [f32; 3]),
) {
    let [a, b, c] = corners.map(|corner| (corner.pos.to_vec2() * scale).to_pos2());
    let cross =
        |p: egui::Pos2, q: egui::Pos2, r: egui::Pos2| (q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x);
    let area = cross(a, b, c);
    if area == 0.0 {
        return;
    }
    // A pixel on an edge that two triangles share belongs to one of them only.
    let owns = |p: egui::Pos2, q: egui::Pos2| {
        let (dx, dy) = ((q.x - p.x) * area.signum(), (q.y - p.y) * area.signum());
        dy < 0.0 || (dy == 0.0 && dx > 0.0)
    };
    let edges = [owns(b, c), owns(c, a), owns(a, b)];
    let clip =
        Rect::from_min_max((clip.min.to_vec2() * scale).to_pos2(), (clip.max.to_vec2() * scale).to_pos2());
    let bounds = Rect::from_points(&[a, b, c]).intersect(clip);
    let columns = bounds.left().max(0.0) as usize..(bounds.right().ceil().max(0.0) as usize).min(width);
    let rows = bounds.top().max(0.0) as usize..(bounds.bottom().ceil().max(0.0) as usize).min(height);
    for y in rows {
        for x in columns.clone() {
            let middle = egui::pos2(x as f32 + 0.5, y as f32 + 0.5);
            let weights =
                [cross(b, c, middle), cross(c, a, middle), cross(a, b, middle)].map(|part| part / area);
            let inside =
                weights.iter().zip(edges).all(|(&weight, owned)| weight > 0.0 || (weight == 0.0 && owned));
            if inside && clip.contains(middle) {
                paint(x, y, weights);
            }
        }
    }
}

impl Texture {
    /// The colour at a place from 0 to 1 in both directions, interpolated.
    fn sample(&self, u: f32, v: f32) -> [f32; 4] {
        let [width, height] = self.size;
        let (x, y) = (u * width as f32 - 0.5, v * height as f32 - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let texel = |dx: f32, dy: f32| {
            let column = (left + dx).clamp(0.0, width as f32 - 1.0) as usize;
            let row = (top + dy).clamp(0.0, height as f32 - 1.0) as usize;
            self.pixels[row * width + column].to_array().map(f32::from)
        };
        let (fx, fy) = (x - left, y - top);
        let corners = [
            (texel(0.0, 0.0), (1.0 - fx) * (1.0 - fy)),
            (texel(1.0, 0.0), fx * (1.0 - fy)),
            (texel(0.0, 1.0), (1.0 - fx) * fy),
            (texel(1.0, 1.0), fx * fy),
        ];
        std::array::from_fn(|c| corners.iter().map(|(texel, weight)| texel[c] * weight).sum())
    }
}
