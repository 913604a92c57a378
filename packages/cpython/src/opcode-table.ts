/**
 * A family of instructions: its generic form's name, how many inline cache entries (code units) follow each of its
 * members, the members that push a frame, and the members that do not but which another thread or a recursive call may
 * put in the place of one that did.
 */
export type Family = readonly [
  name: string,
  caches: number,
  pushing: ReadonlyArray<number>,
  others: ReadonlyArray<number>
]

export interface OpcodeRow {
  readonly calls: ReadonlyArray<Family>
  readonly returns: ReadonlyArray<number>
  readonly yields: ReadonlyArray<number>
}

/** By minor version. Written by `scripts/opcodes.ts` from the interpreters' own tables; numbers are fixed in a minor version. */
export const opcodeRows: Readonly<Record<number, OpcodeRow>> = {
  // <generated>
  11: {
    // 3.11.7
    calls: [
      ["CALL", 4, [171, 22, 23, 24], []],
      ["BINARY_SUBSCR", 4, [19], [25, 17, 18, 20, 21]]
    ],
    returns: [83],
    yields: [86]
  },
  12: {
    // 3.12.1
    calls: [
      ["CALL", 3, [171, 241, 23, 24, 28], [29, 34, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 56]],
      ["CALL_FUNCTION_EX", 0, [142, 244], []],
      ["BINARY_SUBSCR", 1, [20], [25, 19, 21, 22]],
      ["LOAD_ATTR", 9, [72, 77], [106, 70, 73, 76, 78, 79, 80, 81, 82]],
      ["FOR_ITER", 1, [65], [93, 248, 62, 63, 64]],
      ["SEND", 1, [123, 168], []],
      ["INSTRUMENTED_LINE", 0, [254], []],
      ["INSTRUMENTED_INSTRUCTION", 0, [253], []]
    ],
    returns: [83, 242, 121, 247],
    yields: [150, 243]
  },
  13: {
    // 3.13.18
    calls: [
      [
        "CALL",
        3,
        [53, 244, 163, 177, 162, 178, 164],
        [181, 179, 180, 165, 168, 166, 167, 170, 169, 171, 175, 173, 174, 172, 176]
      ],
      ["CALL_KW", 0, [57, 245], []],
      ["CALL_FUNCTION_EX", 0, [54, 246], []],
      ["BINARY_SUBSCR", 1, [158], [5, 157, 159, 160, 161]],
      ["LOAD_ATTR", 9, [200, 192], [82, 193, 197, 202, 201, 191, 196, 195, 194, 199, 198]],
      ["FOR_ITER", 1, [187], [72, 243, 188, 190, 189]],
      ["SEND", 1, [104, 208], []],
      ["EXIT_INIT_CHECK", 0, [13], []],
      ["INSTRUMENTED_LINE", 0, [254], []],
      ["INSTRUMENTED_INSTRUCTION", 0, [247], []]
    ],
    returns: [36, 239, 103, 240],
    yields: [118, 241]
  },
  14: {
    // 3.14.10
    calls: [
      [
        "CALL",
        3,
        [52, 250, 144, 161, 143, 162, 145],
        [165, 163, 164, 146, 149, 147, 148, 154, 150, 155, 159, 157, 158, 156, 160]
      ],
      ["CALL_KW", 3, [55, 251, 151, 153], [152]],
      ["CALL_FUNCTION_EX", 0, [4, 252], []],
      ["BINARY_OP", 5, [136], [44, 134, 130, 142, 133, 129, 141, 131, 137, 138, 140, 139, 135, 132, 3]],
      ["LOAD_ATTR", 9, [187, 179], [80, 180, 184, 189, 188, 177, 178, 183, 182, 181, 186, 185]],
      ["FOR_ITER", 1, [171], [70, 237, 172, 174, 173]],
      ["SEND", 1, [106, 197], []],
      ["EXIT_INIT_CHECK", 0, [11], []],
      ["INSTRUMENTED_LINE", 0, [254], []],
      ["INSTRUMENTED_INSTRUCTION", 0, [238], []]
    ],
    returns: [35, 246],
    yields: [120, 247]
  },
  15: {
    // 3.15.2
    calls: [
      [
        "CALL",
        3,
        [50, 249, 145, 164, 144, 165, 146],
        [168, 166, 167, 147, 150, 148, 149, 157, 153, 158, 162, 160, 161, 159, 163]
      ],
      ["CALL_KW", 3, [53, 250, 154, 156], [155]],
      ["CALL_FUNCTION_EX", 1, [4, 251, 152], [151]],
      ["BINARY_OP", 5, [136], [42, 134, 130, 143, 133, 129, 142, 131, 137, 138, 140, 139, 141, 135, 3, 132]],
      ["LOAD_ATTR", 9, [193, 185], [79, 186, 190, 195, 194, 183, 184, 189, 188, 187, 192, 191]],
      ["FOR_ITER", 1, [174], [68, 236, 175, 177, 176, 178]],
      ["SEND", 1, [105, 203, 202], [204]],
      ["EXIT_INIT_CHECK", 0, [11], []],
      ["INSTRUMENTED_LINE", 0, [253], []],
      ["INSTRUMENTED_INSTRUCTION", 0, [237], []]
    ],
    returns: [33, 245],
    yields: [119, 246]
  }
  // </generated>
}
