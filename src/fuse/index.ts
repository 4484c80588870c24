export { FuseError, type FuseErrorKind } from "./fuse-error.js";
export { FuseNativeTransport } from "./fuse-native/fuse-native-transport.js";
export { NativeTransport } from "./native/native-transport.js";
export {
  EXCLUSIVE_VALIDITY,
  type MountedTransport,
  type Transport,
  type TransportLog,
  type TransportName,
  type TransportOptions,
  type Validity,
} from "./transport.js";
