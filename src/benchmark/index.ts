export { measureBackend, renderBackendHtml, renderBackendText } from "./backend/index.js";
export { dataLoaderPlan, imagesOfSize } from "./data-loader/data-loader-plan.js";
export { directoryPlan } from "./directory-plan.js";
export { BenchmarkError, type BenchmarkErrorKind } from "./errors.js";
export {
  type BenchmarkOptions,
  DATA_LOADERS,
  type DataLoader,
  defaultOptions,
  FILES_LIMIT,
  THREADS_LIMIT,
} from "./options.js";
export { formatValue, percentileNs, renderHtml } from "./report/index.js";
export { type MeasurementSummary, summarize, type TargetSummary } from "./report/summary.js";
export type { BenchmarkResult, Measurement, Target } from "./result.js";
export { type BenchmarkProgress, type BenchmarkWatch, runBenchmark } from "./run.js";
export type { BenchmarkDirectory, ColdCache } from "./site.js";
