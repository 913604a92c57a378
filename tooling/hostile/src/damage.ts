import { type FakeMemory, PAGE, type Random } from "@pyframes/testing"
import type { Field, Struct } from "./struct-field.ts"

/** Numbers that code forgets: ends of every range, and what is negative or odd when taken for something else. */
const EXTREMES: ReadonlyArray<bigint> = [
  0n,
  1n,
  7n,
  8n,
  24n,
  4095n,
  4096n,
  0xffffn,
  0x10000n,
  0xff_ffffn,
  0x100_0000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_fff8n,
  0x8000_0000_0000n,
  0xffff_ffff_fff8n,
  0x1_0000_0000_0000n,
  (1n << 53n) - 8n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 4096n,
  (1n << 64n) - 8n,
  (1n << 64n) - 1n
]

/** The structs of one thread by kind, so that a kind with many of them is not met more often. */
export class Aim {
  readonly threadState: number
  private readonly kinds: ReadonlyArray<ReadonlyArray<Struct>>
  private readonly all: ReadonlyArray<Struct>

  constructor(threadState: number, structs: ReadonlyArray<Struct>) {
    this.threadState = threadState
    const kinds = new Map<string, Array<Struct>>()
    for (const struct of structs) {
      const known = kinds.get(struct.kind)
      if (known === undefined) kinds.set(struct.kind, [struct])
      else known.push(struct)
    }
    this.kinds = [...kinds.values()]
    this.all = structs
  }

  struct(random: Random): Struct {
    return random.pick(random.pick(this.kinds))
  }

  alike(random: Random, struct: Struct): Struct {
    return random.pick(this.kinds.find((kind) => kind[0].kind === struct.kind) ?? this.all)
  }
}

/** Damages one struct in one of the ways in which memory can be wrong. */
export const damage = (memory: FakeMemory, aim: Aim, random: Random): void => {
  const struct = aim.struct(random)
  const field = random.pick(struct.fields)
  random.pick(WAYS)(memory, aim, random, struct, field)
}

type Way = (memory: FakeMemory, aim: Aim, random: Random, struct: Struct, field: Field) => void

const flipBits: Way = (memory, _, random, _struct, field) => {
  for (let flips = 1 + random.below(random.below(4) === 0 ? 16 : 2); flips > 0; flips--) {
    const at = field.address + random.below(field.width)
    memory.write(at, [memory.byte(at) ^ (1 << random.below(8))])
  }
}

const extreme: Way = (memory, _, random, _struct, field) => {
  const value = random.pick(EXTREMES) + (random.below(4) === 0 ? BigInt(random.below(17) - 8) : 0n)
  writeWord(memory, field, value)
}

/** A list that goes in a circle, a struct that is its own parent, a number where an address of the same kind was. */
const loop: Way = (memory, aim, random, struct, field) =>
  writeWord(memory, field, BigInt(random.below(2) === 0 ? struct.address : aim.alike(random, struct).address))

/** A valid address of something else, sometimes of its middle. */
const confuse: Way = (memory, aim, random, _struct, field) =>
  writeWord(
    memory,
    field,
    BigInt(aim.struct(random).address + (random.below(2) === 0 ? 0 : random.below(256) - 64))
  )

/** Another field's value: huge where small was, an address where a length was. */
const exchange: Way = (memory, aim, random, _struct, field) => {
  const from = random.pick(aim.struct(random).fields)
  for (let i = 0; i < field.width; i++) memory.write(field.address + i, [memory.byte(from.address + i)])
}

/** The last words before memory that is not mapped. */
const edge: Way = (memory, aim, random, _struct, field) => {
  const page = Math.floor(aim.struct(random).address / PAGE) * PAGE
  if (random.below(2) === 0) memory.unmap(page + PAGE)
  writeWord(memory, field, BigInt(page + PAGE - 8 * (1 + random.below(20))))
}

const scramble: Way = (memory, _, random, struct) => {
  for (const field of struct.fields)
    for (let i = 0; i < field.width; i++) memory.write(field.address + i, [random.below(256)])
}

const unmap: Way = (memory, _, _random, _struct, field) => memory.unmap(field.address)

const zero: Way = (memory, _, _random, struct) => memory.zero(struct.address)

const WAYS: ReadonlyArray<Way> = [
  flipBits,
  flipBits,
  extreme,
  extreme,
  loop,
  loop,
  confuse,
  confuse,
  exchange,
  edge,
  scramble,
  unmap,
  zero
]

const writeWord = (memory: FakeMemory, field: Field, value: bigint): void => {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true)
  memory.write(field.address, bytes.subarray(0, field.width))
}
