export interface DirectoryBackendConfig {
  readonly kind: "directory";
  /** Absolute path. */
  readonly path: string;
}

export interface S3BackendConfig {
  readonly kind: "s3";
  readonly bucket: string;
  /** Empty, or without a slash at either end. */
  readonly prefix: string;
  /** Undefined for AWS itself. */
  readonly endpoint: string | undefined;
  /** Undefined: what the AWS configuration files say. */
  readonly region: string | undefined;
  readonly pathStyle: boolean;
  /** Whether large bodies are signed even where something else protects them. */
  readonly signBodies: boolean;
  /** How long a connection may be silent in the middle of a request. */
  readonly idleTimeoutMs: number;
}

/** Everything needed to open a backend, but credentials: plain data that can be sent to a worker thread. */
export type BackendConfig = DirectoryBackendConfig | S3BackendConfig;
