//! Leaves the stream behind: raw H.264, MP4 with true timestamps, the last picture as PNG.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use lumen_core::{ReceivedFrame, Timestamp};
use muxide::api::{Muxer, MuxerBuilder, MuxerError, VideoCodec};

use crate::{args::Outputs, picture::Picture};

/// Because an MP4 of muxide counts in 90 kHz, no two pictures may be nearer than this.
const TICK_NS: u64 = 1_000_000_000 / 90_000 + 1;

/// What the MP4's track is said to have; each picture's own time is what counts.
const NOMINAL_FPS: f64 = 60.0;

/// Why something could not be left behind.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system said no.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The stream does not fit an MP4.
    #[error("cannot write {path}: {source}")]
    Mp4 {
        /// Which file.
        path: PathBuf,
        /// What the muxer said.
        source: MuxerError,
    },
    /// The last picture could not be made a PNG.
    #[error("cannot write {path}: {source}")]
    Png {
        /// Which file.
        path: PathBuf,
        /// What the encoder said.
        source: png::EncodingError,
    },
    /// The last picture's planes do not fit its size.
    #[error("cannot convert the last picture to RGB: {0}")]
    Convert(#[from] yuv::YuvError),
}

/// A file being written.
#[derive(Debug)]
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    fn create(path: &Path) -> Result<Self, RecordError> {
        let file = File::create(path).map_err(|source| RecordError::File { path: path.into(), source })?;
        Ok(Self { path: path.into(), file: BufWriter::new(file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.file.write_all(bytes).map_err(|source| RecordError::File { path: self.path.clone(), source })
    }

    fn finish(mut self) -> Result<(), RecordError> {
        self.file.flush().map_err(|source| RecordError::File { path: self.path, source })
    }
}

/// An MP4 whose size is known once the first picture was decoded.
enum Mp4 {
    Waiting(Output),
    Running {
        path: PathBuf,
        muxer: Box<Muxer<BufWriter<File>>>,
        size: (u32, u32),
        first: Timestamp,
        last_ns: Option<u64>,
    },
}

/// The last picture, kept because the decoder only lends it.
#[derive(Debug, Default)]
struct Still {
    size: (u32, u32),
    planes: [Vec<u8>; 3],
}

/// All that is left behind of one stream.
pub struct Recording {
    h264: Option<Output>,
    log: Option<Output>,
    mp4: Option<Mp4>,
    png: Option<(PathBuf, Still)>,
}

impl Recording {
    /// Makes the files, so that a wrong path is known before anything is streamed.
    ///
    /// # Errors
    /// [`RecordError::File`].
    pub fn create(outputs: &Outputs) -> Result<Self, RecordError> {
        let create = |path: &Option<PathBuf>| path.as_deref().map(Output::create).transpose();
        if let Some(path) = &outputs.png {
            Output::create(path)?;
        }
        Ok(Self {
            h264: create(&outputs.h264)?,
            log: create(&outputs.frames_log)?,
            mp4: create(&outputs.mp4)?.map(Mp4::Waiting),
            png: outputs.png.clone().map(|path| (path, Still::default())),
        })
    }

    /// Keeps an access unit and the picture it gave.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn keep(&mut self, frame: &ReceivedFrame, picture: &Picture<'_>) -> Result<(), RecordError> {
        if let Some(h264) = &mut self.h264 {
            h264.write(frame.unit())?;
        }
        self.keep_in_mp4(frame, picture)?;
        if let Some((_, still)) = &mut self.png {
            still.keep(picture);
        }
        Ok(())
    }

    /// Writes a line of the frames' log; `line` is only made when it is wanted.
    ///
    /// # Errors
    /// [`RecordError::File`].
    pub fn log(&mut self, line: impl FnOnce() -> String) -> Result<(), RecordError> {
        match &mut self.log {
            Some(log) => log.write(line().as_bytes()),
            None => Ok(()),
        }
    }

    /// Completes all files.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn finish(self) -> Result<(), RecordError> {
        self.h264.map_or(Ok(()), Output::finish)?;
        self.log.map_or(Ok(()), Output::finish)?;
        if let Some(Mp4::Running { path, muxer, .. }) = self.mp4 {
            muxer.finish().map_err(|source| RecordError::Mp4 { path, source })?;
        }
        match self.png {
            Some((path, still)) if still.size != (0, 0) => still.write(&path),
            _ => Ok(()),
        }
    }

    fn keep_in_mp4(&mut self, frame: &ReceivedFrame, picture: &Picture<'_>) -> Result<(), RecordError> {
        self.mp4 = match self.mp4.take() {
            None => return Ok(()),
            Some(Mp4::Waiting(output)) => Some(begin_mp4(output, frame, picture)?),
            running => running,
        };
        let Some(Mp4::Running { path, muxer, size, first, last_ns }) = &mut self.mp4 else {
            return Ok(());
        };
        // A track has one size: pictures of another are left out, and the raw stream has all of them.
        if *size != (picture.width, picture.height) {
            return Ok(());
        }
        // A repeat shows an old picture anew: its time is that of its encoding.
        let timeline = &frame.timeline;
        let shown = if frame.repeat { timeline.encode_begin } else { timeline.dequeued };
        let since = u64::try_from(shown.since(*first).as_nanos()).unwrap_or(u64::MAX);
        let at = last_ns.map_or(since, |last| since.max(last + TICK_NS));
        *last_ns = Some(at);
        muxer
            .write_video(at as f64 / 1e9, frame.unit(), frame.idr)
            .map_err(|source| RecordError::Mp4 { path: path.clone(), source })
    }
}

fn begin_mp4(output: Output, frame: &ReceivedFrame, picture: &Picture<'_>) -> Result<Mp4, RecordError> {
    let Output { path, file } = output;
    let muxer = MuxerBuilder::new(file)
        .video(VideoCodec::H264, picture.width, picture.height, NOMINAL_FPS)
        .build()
        .map_err(|source| RecordError::Mp4 { path: path.clone(), source })?;
    Ok(Mp4::Running {
        path,
        muxer: Box::new(muxer),
        size: (picture.width, picture.height),
        first: frame.timeline.dequeued,
        last_ns: None,
    })
}

impl Still {
    fn keep(&mut self, picture: &Picture<'_>) {
        let (width, height) = (picture.width as usize, picture.height as usize);
        self.size = (picture.width, picture.height);
        let half = (width.div_ceil(2), height.div_ceil(2));
        let sources = [(picture.y, (width, height)), (picture.cb, half), (picture.cr, half)];
        for (kept, (plane, (width, height))) in self.planes.iter_mut().zip(sources) {
            kept.clear();
            for row in plane.bytes.chunks(plane.stride).take(height) {
                kept.extend_from_slice(row.get(..width).unwrap_or(row));
            }
        }
    }

    fn write(self, path: &Path) -> Result<(), RecordError> {
        let (width, height) = self.size;
        let [y, cb, cr] = &self.planes;
        let image = yuv::YuvPlanarImage {
            y_plane: y,
            y_stride: width,
            u_plane: cb,
            u_stride: width.div_ceil(2),
            v_plane: cr,
            v_stride: width.div_ceil(2),
            width,
            height,
        };
        let mut rgb = vec![0; width as usize * height as usize * 3];
        let (range, matrix) = (yuv::YuvRange::Limited, yuv::YuvStandardMatrix::Bt709);
        yuv::yuv420_to_rgb(&image, &mut rgb, width * 3, range, matrix)?;
        let failed = |source| RecordError::Png { path: path.into(), source };
        let file = Output::create(path)?.file;
        let mut encoder = png::Encoder::new(file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&rgb).map_err(failed)?;
        writer.finish().map_err(failed)
    }
}
