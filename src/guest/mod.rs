//! What runs on the guest: store, journal, switch, units, firewall, health, recovery.
