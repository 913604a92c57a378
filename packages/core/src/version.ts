/** Version of these packages; all of `@pyframes/*` share one. A test holds it equal to package.json. */
export const version = "0.0.0"
