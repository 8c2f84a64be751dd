//! What survives a crash: transportd owns what is held and tells it whole on each new link. Connections on which fingers are down lie
//! in the fd store until they are let go of ([`crate::backends::eis::drain`]).

lumen_stage::steps! {
    /// transportd is here again.
    OPENED = "opened";
    /// It has been told that input is taken.
    ANSWERED = "answered";
    /// What is held is known and played.
    PLAYED = "played";
}
