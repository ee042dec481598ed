//! SSH to a guest: connect, send, call the guest's binary.
