export type { AttributeListener } from "../meta/index.js";
export { createFileSystem, type FileSystemOptions } from "./create-file-system.js";
export { FsError, type FsErrorKind } from "./errors.js";
export type {
  AttributeChanges,
  Attributes,
  Caller,
  DirectoryEntry,
  FallocateMode,
  FileSystem,
  FileSystemTotals,
  LinkMode,
  MaybePromise,
  OpenedFile,
  RenameMode,
} from "./file-system.js";
export { DEFAULT_LIMITS, type FileSystemLimits } from "./limits.js";
