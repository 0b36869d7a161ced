//! Every size on the wire, in one place, and the relations between them, checked when compiling.

/// The longest text of one line (and of one entry), in bytes, without its terminator. What a
/// container writes beyond it is cut, counted, and declared as a `Cut` piece.
pub const LINE_BYTES_MAX: usize = 256 * 1024;

/// The most text that one frame (and so one block) holds, in bytes, terminators included.
pub const FRAME_TEXT_BYTES_MAX: usize = LINE_BYTES_MAX + 1;

/// The most lines of one entry; further continuations begin a new one.
pub const ENTRY_LINES_MAX: usize = 1024;

/// The longest text of one entry, in bytes, with a `\n` between two lines.
pub const ENTRY_BYTES_MAX: usize = LINE_BYTES_MAX;

/// The most lines in one frame. Bounds the columns of a frame full of empty lines.
pub const FRAME_LINES_MAX: usize = 32 * 1024;

/// The most structured metadata in one frame, in encoded bytes.
pub const FRAME_METADATA_BYTES_MAX: usize = 256 * 1024;

/// The widest a line's columns can be without metadata: a time (10), a text length (5), flags (1),
/// and an exceptional source length with its line number (10 + 5).
pub const LINE_COLUMNS_BYTES_MAX: usize = 10 + 5 + 1 + 15;

/// The most bytes of columns in one frame: three counts, the lines, the metadata with its line
/// numbers and lengths (10 bytes an entry, at most one entry a line).
pub const FRAME_COLUMNS_BYTES_MAX: usize =
    30 + FRAME_LINES_MAX * (LINE_COLUMNS_BYTES_MAX + 10) + FRAME_METADATA_BYTES_MAX;

/// The most frames in one batch.
pub const BATCH_FRAMES_MAX: usize = 4;

/// The most bytes of tables (streams, runs, pieces, extensions) in one batch, before compression.
pub const BATCH_TABLES_BYTES_MAX: usize = 512 * 1024;

/// The largest encoded batch: one Kafka message. Topics are created with this `max.message.bytes`.
pub const MESSAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Text at which a builder should close its batch. A producer reaches it long before the hard
/// limits on ordinary logs.
pub const BATCH_TEXT_BYTES_TARGET: usize = 768 * 1024;

/// A run of at least this much text travels as a frame of its own, which the store adopts as it is.
pub const OWN_FRAME_BYTES_MIN: usize = 64 * 1024;

/// The most labels of one stream.
pub const LABELS_MAX: usize = 64;
/// The longest label name, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 256;
/// The longest label value, in bytes: a file name is at most 255, a path at most 4096.
pub const LABEL_VALUE_BYTES_MAX: usize = 4096;
/// The most bytes of names and values of one stream together.
pub const LABELS_BYTES_MAX: usize = 32 * 1024;

/// What zstd may add to incompressible bytes (zstd's own `ZSTD_COMPRESSBOUND`, generously).
pub const fn stored_bytes_max(raw: usize) -> usize {
    raw + raw / 128 + 512
}

const _: () = assert!(
    BATCH_FRAMES_MAX
        * (stored_bytes_max(FRAME_TEXT_BYTES_MAX) + stored_bytes_max(FRAME_COLUMNS_BYTES_MAX) + 64)
        + stored_bytes_max(BATCH_TABLES_BYTES_MAX)
        + 128
        <= MESSAGE_BYTES_MAX,
    "the worst batch must fit one message"
);
const _: () = assert!(
    LABELS_BYTES_MAX * 2 + 4096 < BATCH_TABLES_BYTES_MAX,
    "one stream must always fit an empty batch"
);
const _: () = assert!(
    ENTRY_BYTES_MAX < FRAME_TEXT_BYTES_MAX && ENTRY_LINES_MAX <= FRAME_LINES_MAX,
    "an entry must fit an empty block"
);
const _: () = assert!(OWN_FRAME_BYTES_MIN <= FRAME_TEXT_BYTES_MAX);
const _: () = assert!(BATCH_TEXT_BYTES_TARGET <= BATCH_FRAMES_MAX * FRAME_TEXT_BYTES_MAX);
