package ifma

const built = true
