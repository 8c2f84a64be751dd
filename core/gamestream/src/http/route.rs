//! What can be asked, and by whom.

/// A path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/serverinfo`
    ServerInfo,
    /// `/pair`
    Pair,
    /// `/unpair`
    Unpair,
    /// `/applist`
    AppList,
    /// `/appasset`
    AppAsset,
    /// `/launch`
    Launch,
    /// `/resume`
    Resume,
    /// `/cancel`
    Cancel,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone over plain HTTP, and Clients over TLS.
    Anyone,
    /// Clients, over TLS.
    Clients,
}

impl Route {
    /// All that there is: what no variant names cannot be asked.
    pub const ALL: [Self; 8] = [
        Self::ServerInfo,
        Self::Pair,
        Self::Unpair,
        Self::AppList,
        Self::AppAsset,
        Self::Launch,
        Self::Resume,
        Self::Cancel,
    ];

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::ServerInfo => "/serverinfo",
            Self::Pair => "/pair",
            Self::Unpair => "/unpair",
            Self::AppList => "/applist",
            Self::AppAsset => "/appasset",
            Self::Launch => "/launch",
            Self::Resume => "/resume",
            Self::Cancel => "/cancel",
        }
    }

    /// Who may ask it.
    pub fn access(self) -> Access {
        match self {
            Self::ServerInfo | Self::Pair => Access::Anyone,
            // GFE let anyone on the network unpair anyone else. Clients call it after a failed pairing and ignore the answer.
            Self::Unpair | Self::AppList | Self::AppAsset | Self::Launch | Self::Resume | Self::Cancel => {
                Access::Clients
            }
        }
    }

    /// The route of a path.
    pub fn of(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.path() == path)
    }
}
