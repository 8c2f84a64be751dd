//! What survives a crash: nothing here, since each session comes back by being opened again and begins with an IDR of the
//! newest Frame.

lumen_stage::steps! {
    /// transportd is here again.
    OPENED = "opened";
    /// There is a link to captured.
    LINKED = "linked";
    /// captured's buffers are mapped.
    POOLED = "pooled";
    /// There is an encoder.
    MADE = "made";
    /// transportd has been told of the ring.
    ANNOUNCED = "announced";
    /// A picture goes to the encoder.
    ENCODING = "encoding";
    /// transportd has been told of the AccessUnit.
    TOLD = "told";
    /// transportd is here again for the sound.
    SOUND_OPENED = "sound-opened";
    /// There is a link to captured for it.
    SOUND_LINKED = "sound-linked";
    /// A packet of it is made and not yet sent.
    SOUND_MADE = "sound-made";
}
