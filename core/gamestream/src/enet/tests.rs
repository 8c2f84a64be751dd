mod against_enet;
mod by_bytes;
