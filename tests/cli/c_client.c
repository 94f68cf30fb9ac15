/* A C program outside, driven by c_interface_test.cc: the results of one model for one block of pixels.
   Arguments: model, device, eval_size, batch_size, pixels, images, height, width, row_stride, what, results.
   Prints what the model is, a line each, and writes the numbers as they lie in memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "c/dcl.h"

static void check(dcl_status status) {
  if (status == DCL_OK) return;
  fprintf(stderr, "error: %s\n", dcl_last_error());
  exit(status);
}

static void* read_file(const char* path, size_t bytes) {
  FILE* file = fopen(path, "rb");
  void* all = malloc(bytes);
  if (!file || !all || fread(all, 1, bytes, file) != bytes) exit(90);
  fclose(file);
  return all;
}

static void describe(const dcl_model* model, int64_t* features, int64_t* classes) {
  int64_t size, i;
  const char* text;
  check(dcl_features(model, features));
  check(dcl_classes(model, classes));
  check(dcl_eval_size(model, &size));
  check(dcl_device(model, &text));
  printf("%ld features\n%ld classes\nsize %ld\ndevice %s\n", (long)*features, (long)*classes, (long)size, text);
  for (i = 0; i < *classes; ++i) {
    check(dcl_class_name(model, i, &text));
    printf("class %s\n", text);
  }
}

int main(int argc, char** argv) {
  dcl_options options = {.struct_size = sizeof options};
  dcl_model* model;
  int64_t features, classes, images, height, width, stride, numbers;
  int what;
  if (argc != 12) return 91;
  options.device = argv[2];
  options.eval_size = atol(argv[3]);
  options.batch_size = atol(argv[4]);
  images = atol(argv[6]), height = atol(argv[7]), width = atol(argv[8]), stride = atol(argv[9]);
  what = atoi(argv[10]);
  check(dcl_open(argv[1], &options, &model));
  describe(model, &features, &classes);

  {
    const int64_t row = stride ? stride : 3 * width;
    uint8_t* pixels = read_file(argv[5], (size_t)(images * height * row));
    dcl_status (*compute)(dcl_model*, const uint8_t*, int64_t, int64_t, int64_t, int64_t, int, float*, int64_t) =
        what == DCL_UNIT_LENGTH || what == DCL_RAW ? dcl_embed : dcl_classify;
    float *results, *again;
    FILE* out = fopen(argv[11], "wb");
    numbers = images * (compute == dcl_embed ? features : classes);
    results = calloc((size_t)numbers, sizeof *results);
    again = calloc((size_t)numbers, sizeof *again);
    if (!out || !results || !again) return 92;
    check(compute(model, pixels, images, height, width, stride, what, results, numbers));
    /* Other images in between leave no trace. */
    check(compute(model, pixels, 1, height, width, stride, what, again, numbers));
    check(compute(model, pixels, images, height, width, stride, what, again, numbers));
    if (memcmp(results, again, (size_t)numbers * sizeof *results) != 0) return 93;
    if (fwrite(results, sizeof *results, (size_t)numbers, out) != (size_t)numbers || fclose(out) != 0) return 94;
    free(pixels), free(results), free(again);
  }
  dcl_close(model);
  return 0;
}
