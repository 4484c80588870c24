/** Sizes POSIX lets a filesystem choose, and Linux's own maxima. */
export interface FileSystemLimits {
  readonly nameBytesMax: number;
  /** PATH_MAX less its final NUL: the kernel could not read a longer target. */
  readonly symlinkBytesMax: number;
  readonly linkCountMax: number;
  readonly fileSizeBytesMax: number;
  readonly xattrNameBytesMax: number;
  readonly xattrValueBytesMax: number;
  /** Of all names of one inode, each with its NUL: what listxattr can return. */
  readonly xattrListBytesMax: number;
  /** What statfs reports as the volume's size: a backend does not tell how much it will take. */
  readonly volumeBytes: number;
  readonly volumeInodes: number;
}

export const DEFAULT_LIMITS: FileSystemLimits = {
  nameBytesMax: 255,
  symlinkBytesMax: 4095,
  linkCountMax: 0x7fff_ffff,
  fileSizeBytesMax: Number.MAX_SAFE_INTEGER,
  xattrNameBytesMax: 255,
  xattrValueBytesMax: 65_536,
  xattrListBytesMax: 65_536,
  volumeBytes: 2 ** 50,
  volumeInodes: 2 ** 40,
};
