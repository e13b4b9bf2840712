//! TFRecord: how records stand one after the other in a file.
//!
//! Length (8 bytes, little endian), its checksum (4), the record, its checksum (4). Checksums are CRC-32C, rotated
//! and shifted so that the checksum of data with checksums in it does not degenerate.

/// A record with its frame.
pub fn frame(record: &[u8]) -> Vec<u8> {
    let length = (record.len() as u64).to_le_bytes();
    let mut framed = Vec::with_capacity(record.len() + 16);
    framed.extend(length);
    framed.extend(masked(&length).to_le_bytes());
    framed.extend(record);
    framed.extend(masked(record).to_le_bytes());
    framed
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_length_record_and_both_checksums() {
        let record = b"brain.Event:2";
        let framed = frame(record);
        assert_eq!(framed.len(), record.len() + 16);
        assert_eq!(framed[..8], 13u64.to_le_bytes());
        assert_eq!(&framed[12..25], record);
        // CRC-32C of "123456789" is 0xE3069283 by its definition (RFC 3720).
        let expected = 0xE306_9283u32.rotate_right(15).wrapping_add(0xA282_EAD8);
        assert_eq!(masked(b"123456789"), expected);
    }
}
