//! The kernel in plain words.

use super::{CHROMA_BIAS, LUMA_BIAS, Rows, Sums, TILE, Weights};

/// Columns of one sum.
const COLUMNS: usize = 8;
/// Columns within which steps are counted.
const BLOCK: usize = 16;

pub(super) fn run(weights: Weights, rows: Rows<'_>) {
    let Rows { pixels: [upper, lower], luma: [upper_luma, lower_luma], chroma: [blue, red], .. } = rows;
    let ([upper_before, lower_before], [blue_before, red_before]) = (rows.before.luma, rows.before.chroma);
    let pixels = upper.iter().zip(lower);
    let luma = upper_luma.iter_mut().zip(lower_luma).zip(upper_before.iter().zip(lower_before));
    let chroma = blue.iter_mut().zip(red).zip(blue_before.iter().zip(red_before));
    let found = rows.above.iter_mut().zip(rows.sums);
    for (((pixels, (luma, luma_before)), (chroma, chroma_before)), (above, sums)) in
        pixels.zip(luma).zip(chroma).zip(found)
    {
        (*luma.0, *luma.1) = (luma_of(pixels.0, weights.luma), luma_of(pixels.1, weights.luma));
        let means = means_of_four(pixels.0, pixels.1);
        (*chroma.0, *chroma.1) = (chroma_of(&means, weights.blue), chroma_of(&means, weights.red));
        add(&mut sums.difference, distances(luma.0, luma_before.0));
        add(&mut sums.difference, distances(luma.1, luma_before.1));
        let ([a, b], [c, d]) = (distances(chroma.0, chroma_before.0), distances(chroma.1, chroma_before.1));
        add(&mut sums.tint, [a, c, b, d]);
        add_steps(sums, luma.0);
        if rows.has_above {
            add(&mut sums.texture, distances(luma.0, above));
        }
        *above = *luma.0;
    }
}

/// No sum leaves sixteen bits, nor its result eight: the weights see to that.
fn weighted(pixel: [u8; 4], weights: [i8; 4], bias: i16) -> u8 {
    let products = pixel.iter().zip(weights).map(|(&byte, weight)| i16::from(byte) * i16::from(weight));
    ((products.sum::<i16>() + bias) >> 7) as u8
}

fn luma_of(pixels: &[u8; TILE * 4], weights: [i8; 4]) -> [u8; TILE] {
    let mut luma = [0; TILE];
    for (luma, pixel) in luma.iter_mut().zip(pixels.as_chunks().0) {
        *luma = weighted(*pixel, weights, LUMA_BIAS);
    }
    luma
}

/// Means of 2×2 pixels, first down, then across, each rounded up.
fn means_of_four(upper: &[u8; TILE * 4], lower: &[u8; TILE * 4]) -> [u8; TILE * 2] {
    let mut down = [0; TILE * 4];
    for (mean, (&a, &b)) in down.iter_mut().zip(upper.iter().zip(lower)) {
        *mean = mean_of(a, b);
    }
    let mut means = [0; TILE * 2];
    for (means, [a, b, c, d, e, f, g, h]) in means.as_chunks_mut::<4>().0.iter_mut().zip(down.as_chunks().0) {
        *means = [mean_of(*a, *e), mean_of(*b, *f), mean_of(*c, *g), mean_of(*d, *h)];
    }
    means
}

fn mean_of(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

fn chroma_of(means: &[u8; TILE * 2], weights: [i8; 4]) -> [u8; TILE / 2] {
    let mut chroma = [0; TILE / 2];
    for (chroma, pixel) in chroma.iter_mut().zip(means.as_chunks().0) {
        *chroma = weighted(*pixel, weights, CHROMA_BIAS);
    }
    chroma
}

/// Absolute differences, of each eight bytes.
fn distances<const BYTES: usize, const SUMS: usize>(a: &[u8; BYTES], b: &[u8; BYTES]) -> [u64; SUMS] {
    let mut sums = [0; SUMS];
    let columns = a.as_chunks::<COLUMNS>().0.iter().zip(b.as_chunks::<COLUMNS>().0);
    for (sum, (a, b)) in sums.iter_mut().zip(columns) {
        *sum = a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    }
    sums
}

fn add(sums: &mut [u64; 4], more: [u64; 4]) {
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// Each step belongs to its left pixel.
fn add_steps(sums: &mut Sums, luma: &[u8; TILE]) {
    for (block, sums) in luma.as_chunks::<BLOCK>().0.iter().zip(sums.texture.chunks_mut(BLOCK / COLUMNS)) {
        for (index, (a, b)) in block.iter().zip(block.iter().skip(1)).enumerate() {
            if let Some(sum) = sums.get_mut(index / COLUMNS) {
                *sum += u64::from(a.abs_diff(*b));
            }
        }
    }
}
