//! Lists the ignored files in a working tree, so that a person learns which ones are removed.

use super::Result;
use super::parse::Fields;
use super::worktree::Worktree;

/// Files and directories that are remembered. A whole directory counts once; a person reads only a
/// few.
const IGNORED_MAX: usize = 1_000;

impl Worktree {
    /// The files that git ignores, relative to the working tree, at most 1,000. A directory with
    /// nothing else stands for its files and ends with `/`. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// As for every call of git.
    pub async fn ignored_files(&mut self) -> Result<Vec<String>> {
        let index = self.places.index();
        let call = self.call("list the ignored files", &index)?;
        let call = call.args([
            "ls-files",
            "--others",
            "--ignored",
            "--exclude-standard",
            "--directory",
            "-z",
        ]);
        let mut files = Vec::new();
        let mut fields = Fields::default();
        let mut each = |field: &[u8]| {
            if !field.is_empty() && files.len() < IGNORED_MAX {
                files.push(String::from_utf8_lossy(field).into_owned());
            }
        };
        let mut sink = |bytes: &[u8]| fields.feed(bytes, &mut each);
        let (code, stderr) = call.stream(&mut sink).await?;
        if code != 0 {
            return Err(call.stream_failed(code, stderr));
        }
        Ok(files)
    }
}
