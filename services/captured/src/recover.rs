//! What survives a crash: nothing here, since vdisplayd keeps the Output and each session comes back by being opened again.

lumen_stage::steps! {
    /// encoded is here again.
    OPENED = "opened";
    /// vdisplayd has given the source.
    ACQUIRED = "acquired";
    /// There is a pool of buffers.
    POOLED = "pooled";
    /// encoded has been told of the pool.
    ANNOUNCED = "announced";
    /// The next picture has been sent.
    SENT = "sent";
    /// The reader of the sound is here again.
    SOUND_OPENED = "sound-opened";
    /// The session's sink is there.
    SOUND_SINK = "sound-sink";
    /// Samples come from it.
    SOUND_READING = "sound-reading";
}
