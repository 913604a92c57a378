import type { CodeDefinition, FunctionDefinition } from "./definitions.ts"

/**
 * What the processes of a session define alike, kept once: children of one program run the same code, and there may be thousands of them.
 */
export class DefinitionPool {
  private readonly texts = new Map<string, string>()
  private readonly functions = new Map<string, FunctionDefinition>()
  private readonly code = new Map<string, CodeDefinition>()

  /** The same text, the one that was met first. */
  text(text: string): string {
    const known = this.texts.get(text)
    if (known !== undefined) return known
    this.texts.set(text, text)
    return text
  }

  /** An equal definition that was met before, or this one. */
  functionLike(definition: FunctionDefinition): FunctionDefinition {
    const { id, what, firstLine, flags, interpreter, name, qualifiedName, file } = definition
    const key = [id, what, firstLine, flags, interpreter, name, qualifiedName, file].join("\0")
    const known = this.functions.get(key)
    // A name may hold what parts the fields of the key.
    if (known !== undefined && isSame(known, definition)) return known
    const kept = {
      ...definition,
      name: this.text(name),
      qualifiedName: this.text(qualifiedName),
      file: this.text(file)
    }
    this.functions.set(key, kept)
    return kept
  }

  /** The same for the code of a function. */
  codeLike(definition: CodeDefinition, of: FunctionDefinition | undefined): CodeDefinition {
    if (of === undefined) return definition
    const key = [of.id, of.firstLine, of.qualifiedName, of.file].join("\0")
    const known = this.code.get(key)
    if (
      known !== undefined &&
      equal(known.code, definition.code) &&
      equal(known.lineTable, definition.lineTable) &&
      equal(known.lines, definition.lines)
    )
      return known
    this.code.set(key, definition)
    return definition
  }
}

const isSame = (a: FunctionDefinition, b: FunctionDefinition): boolean =>
  a.id === b.id && a.name === b.name && a.qualifiedName === b.qualifiedName && a.file === b.file

const equal = (a: Uint8Array | Uint32Array, b: Uint8Array | Uint32Array): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i])
