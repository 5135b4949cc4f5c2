//! The program daa: agents search and train networks on real data, sharing one device.
