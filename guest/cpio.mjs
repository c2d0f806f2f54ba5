// A writer of the one archive format that the kernel unpacks as its initramfs:
// "newc" cpio (Documentation/driver-api/early-userspace/buffer-format.rst).

const TYPE = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 }

const pad = (length) => Buffer.alloc((4 - (length % 4)) % 4)

function record(index, name, { mode, links, data, major, minor }) {
  const path = Buffer.from(`${name}\0`)
  // magic, ino, mode, uid, gid, nlink, mtime, filesize, device, rdevice, namesize, check
  const fields = [index, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, path.length, 0]
  const digits = fields.map((n) => n.toString(16).toUpperCase().padStart(8, "0")).join("")
  const header = Buffer.from(`070701${digits}`)
  return Buffer.concat([header, path, pad(header.length + path.length), data, pad(data.length)])
}

/**
 * Packs `entries`, an object from path (without a leading slash) to one of
 * `{directory: true, mode}`, `{file: Buffer, mode}`, `{symlink: target}`,
 * `{character: [major, minor], mode}`.
 *
 * The same entries always give the same bytes: sorted by path, time 0, owner
 * root. Sorting also puts every directory before what lies in it.
 */
export function cpio(entries) {
  const names = Object.keys(entries).sort()
  const records = names.map((name, i) => {
    const entry = entries[name]
    const kind = Object.keys(TYPE).find((k) => k in entry)
    if (kind === undefined) throw new Error(`${name}: no such kind of entry`)
    const data = kind === "file" ? entry.file : kind === "symlink" ? Buffer.from(entry.symlink) : Buffer.alloc(0)
    const [major, minor] = entry.character ?? [0, 0]
    const mode = TYPE[kind] | (entry.mode ?? 0o777)
    return record(i + 1, name, { mode, links: kind === "directory" ? 2 : 1, data, major, minor })
  })
  records.push(record(0, "TRAILER!!!", { mode: 0, links: 1, data: Buffer.alloc(0), major: 0, minor: 0 }))
  return Buffer.concat(records)
}
