//! The harness of the system tests: starts the shipped units, drives the built binaries.
