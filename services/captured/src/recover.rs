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
}
