//! A picture with less in it: what is encoded when even the coarsest quantiser would cost too much.

use crate::picture::Picture;

/// Copies `from` to `to` (of the same size); below the first `sharp` rows (even), each luma block of `side` × `side` pixels,
/// and each chroma block of half that, is replaced by its mean.
pub fn soften(from: &Picture, to: &mut Picture, side: usize, sharp: usize) {
    let (stride, (blue, red)) = (from.stride(), from.chroma());
    let (to_luma, to_blue, to_red) = to.planes_mut();
    flatten(from.luma(), to_luma, stride, side, sharp);
    flatten(blue, to_blue, stride / 2, side / 2, sharp / 2);
    flatten(red, to_red, stride / 2, side / 2, sharp / 2);
}

/// Rows that do not fill a block keep the mean of those there are.
fn flatten(from: &[u8], to: &mut [u8], stride: usize, side: usize, sharp: usize) {
    let kept = (sharp * stride).min(from.len()).min(to.len());
    let ((kept_from, from), (kept_to, to)) = (from.split_at(kept), to.split_at_mut(kept));
    kept_to.copy_from_slice(kept_from);
    for (from, to) in from.chunks(stride * side).zip(to.chunks_mut(stride * side)) {
        for x in (0..stride).step_by(side) {
            let block = |row: &[u8]| {
                row.get(x..(x + side).min(row.len()))
                    .map(|block| block.iter().map(|&p| u32::from(p)).sum::<u32>())
            };
            let (sum, rows) =
                from.chunks(stride).filter_map(block).fold((0, 0), |(sum, rows), row| (sum + row, rows + 1));
            let count = (rows * side.min(stride - x)) as u32;
            let mean = ((sum + count / 2) / count.max(1)) as u8;
            for row in to.chunks_mut(stride) {
                if let Some(block) = row.get_mut(x..(x + side).min(stride)) {
                    block.fill(mean);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_becomes_its_mean() {
        let mut from = Picture::new(64, 24);
        let stride = from.stride();
        from.planes_mut().0.fill(50);
        from.planes_mut().0[16 * stride] = 50 + 128;
        let mut to = Picture::new(64, 24);
        soften(&from, &mut to, 16, 0);
        assert_eq!(to.luma()[0], 50);
        assert_eq!(
            to.luma()[16 * stride + 7 * stride + 15],
            51,
            "the last blocks have eight rows: 128 / (16 * 8) = 1"
        );
        assert_eq!(to.luma()[16 * stride + 16], 50);
        assert_eq!(to.chroma().0[0], 128);
    }
}
