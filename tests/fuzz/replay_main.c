/* SPDX-License-Identifier: MIT */
/* replay_main.c: replays a fuzz target's corpus, so that an old finding stays fixed without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/** Reads a whole file into *data (malloc, the caller's). Returns false when it cannot. */
static int read_all(const char *path, uint8_t **data, size_t *size_bytes) {
    FILE *file = fopen(path, "rb");
    long end = -1;
    if (file == NULL) {
        return 0;
    }
    if (fseek(file, 0, SEEK_END) == 0) {
        end = ftell(file);
    }
    rewind(file);
    *data = end < 0 ? NULL : malloc((size_t)end + 1);
    if (*data == NULL || fread(*data, 1, (size_t)end, file) != (size_t)end) {
        free(*data);
        (void)fclose(file);
        return 0;
    }
    *size_bytes = (size_t)end;
    (void)fclose(file);
    return 1;
}

/** Runs one input from a block of exactly its size, so that AddressSanitizer sees one byte too far. */
static int replay(const char *path) {
    uint8_t *data = NULL;
    size_t size_bytes = 0;
    uint8_t *exact = NULL;
    if (!read_all(path, &data, &size_bytes)) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        return 0;
    }
    exact = malloc(size_bytes == 0 ? 1 : size_bytes);
    if (exact == NULL) {
        free(data);
        return 0;
    }
    memcpy(exact, data, size_bytes);
    free(data);
    (void)printf("%s (%zu bytes)\n", path, size_bytes);
    (void)fflush(stdout);
    (void)LLVMFuzzerTestOneInput(exact, size_bytes);
    free(exact);
    return 1;
}

/** Replays all files of a folder; returns how many, or -1 on failure. */
static int replay_folder(const char *folder) {
    int n_files = 0;
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    if (dir == NULL) {
        (void)fprintf(stderr, "%s: no such corpus\n", folder);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        char path[4096];
        if (entry->d_name[0] == '.') {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!replay(path)) {
            (void)closedir(dir);
            return -1;
        }
        n_files++;
    }
    (void)closedir(dir);
    return n_files;
}

int main(int argc, char **argv) {
    int n_files = 0;
    for (int i = 1; i < argc; i++) {
        const int n = replay_folder(argv[i]);
        if (n < 0) {
            return 1;
        }
        n_files += n;
    }
    (void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    if (n_files == 0) {
        (void)fprintf(stderr, "the corpus is empty: nothing was replayed\n");
        return 1;
    }
    (void)printf("%d inputs replayed\n", n_files);
    return 0;
}
