//! What survives a crash: nothing here, since transportd owns what is held and tells it whole on each new link.

lumen_stage::steps! {
    /// transportd is here again.
    OPENED = "opened";
    /// It has been told that input is taken.
    ANSWERED = "answered";
    /// What is held is known and played.
    PLAYED = "played";
}
