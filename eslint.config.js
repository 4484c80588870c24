// Promises only: these rules need types, which biome does not have. Everything else is biome's.
import tseslint from "typescript-eslint";

export default [
  { ignores: ["**/*.js", "**/*.mjs", "**/*.cjs", "dist/", "build/"] },
  {
    files: ["**/*.ts"],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { project: "./tsconfig.test.json", tsconfigRootDir: import.meta.dirname },
    },
    plugins: { "@typescript-eslint": tseslint.plugin },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // A promise nobody waits for is an error nobody hears of.
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      // `return promise` in a try block leaves before its catch can see it fail.
      "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
    },
  },
];
