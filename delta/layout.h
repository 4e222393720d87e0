#ifndef DELTA_LAYOUT_H
#define DELTA_LAYOUT_H

/* What delta/FORMAT.md fixes and both its writer and its reader need. */
#define TRAILER_MAGIC "DGDELTA\n"
#define TRAILER_LEN   32
#define INFO_FIXED    (8 + 8 + 2 * DIGEST_LEN + 8 + 4 + 4 + 8 + 8 + 2)
#define TABLE_MAX     ((uint32_t)64 << 20)
#define HEAD_LEN_MAX  512
/* Most bytes that a window of so many target bytes is stored in, and any. */
#define WINDOW_STORED_MAX(target_len) ((target_len) + (target_len) / 32 + 1024)
#define WINDOW_STORED_LIMIT           ((uint64_t)28 << 20)

#endif
