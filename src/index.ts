/** The package: what JavaScript programs import from "podfs". The command line is `cli/`. */

export { PodfsError, UserError } from "./base/index.js";
export {
  CheckpointError,
  type CheckpointErrorKind,
  type CheckpointInfo,
  type DeviceMemory,
  type LoadedTensor,
  type LoadOptions,
  type Removal,
  type SafetensorsDtype,
  type Save,
  type SaveOptions,
  Stager,
  type StagerMode,
  type StagerOptions,
  type Tensor,
  type TensorData,
} from "./checkpoint/index.js";
