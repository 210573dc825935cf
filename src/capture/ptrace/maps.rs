//! The lines of `/proc/TID/maps` that map a file (`proc_pid_maps(5)`). Pure.

/// A mapped part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Whether it may be executed.
    pub executable: bool,
    /// Whether nothing changes it but the file: it can neither be written nor is it shared with who can.
    pub constant: bool,
    /// The file's device, as `major:minor`.
    pub device: &'a str,
    /// The file's inode number.
    pub inode: u64,
    path: &'a [u8],
}

/// The lines of a whole text.
pub fn lines(maps: &[u8]) -> impl Iterator<Item = Line<'_>> {
    maps.split(|&byte| byte == b'\n').filter_map(line)
}

impl Line<'_> {
    /// The file's name, also when it was removed. The kernel writes a newline in it as `\012`, and nothing else.
    #[must_use]
    pub fn name(&self) -> Vec<u8> {
        let bytes = self.path.strip_suffix(b" (deleted)").unwrap_or(self.path);
        bstr::ByteSlice::replace(bytes, b"\\012", b"\n")
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }
}

fn line(line: &[u8]) -> Option<Line<'_>> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let (start, end) = text()?.split_once('-')?;
    let permissions = text()?;
    let (_offset, device, inode) = (text()?, text()?, text()?);
    let path = fields.next()?.trim_ascii_start();
    path.starts_with(b"/").then_some(Line {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        executable: permissions.contains('x'),
        constant: permissions.contains('p') && !permissions.contains('w'),
        device,
        inode: inode.parse().ok()?,
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = b"7f00-8f00 r-xp 00001000 fe:00 4711                      /tmp/a b\\012c\n\
            7f-8f rw-p 0 00:00 0    [heap]\n9f00-af00 rw-p 00001000 fe:01 12 /x (deleted)\naf00-bf00 r--s 0 fe:01 12 /x\n\
            bf00-cf00 rw-p 00000000 00:00 0 \n\nx";
        let found: Vec<_> = lines(text).collect();
        let parts = |line: &Line<'_>| (line.start, line.end, line.executable, line.constant, line.inode, line.name());
        assert_eq!(
            found.iter().map(parts).collect::<Vec<_>>(),
            [
                (0x7f00, 0x8f00, true, true, 4711, b"/tmp/a b\nc".to_vec()),
                (0x9f00, 0xaf00, false, false, 12, b"/x".to_vec()),
                (0xaf00, 0xbf00, false, false, 12, b"/x".to_vec()),
            ]
        );
        assert!(found[0].contains(0x7f00) && !found[0].contains(0x8f00));
        assert_eq!(found[1].device, "fe:01");
    }
}
