// The C interface of libdcl: features and classes of images in memory, by models in files, for programs in any
// language. What the network is shown are the bits that dcl-embed and dcl-predict show it (docs/usage.md, From a C
// program).
//
// Status: functions return 0 or one of the programs' exit codes, and dcl_last_error() then has the reason. No argument
// ends the process: null pointers and sizes that make no sense are DCL_USAGE. After a failure a model can be used on,
// and results are not to be used.
// Threads: a model is used by one thread at a time, any number of models side by side. Each thread that calls in has
// compute threads of its own, dcl_set_threads() in number.
// Stability: functions, constants and the order of fields stay; dcl_options grows at its end.
#ifndef DCL_DCL_H
#define DCL_DCL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int dcl_status;

enum {
  DCL_OK = 0,
  DCL_INTERNAL = 1,      ///< a defect in the library
  DCL_USAGE = 2,         ///< an argument that is not what the function takes
  DCL_DATA = 3,          ///< invalid model file, or one that lacks what was asked for
  DCL_ENVIRONMENT = 4,   ///< missing or unusable device
  DCL_IO = 5,            ///< the file cannot be read
  DCL_NUMERICAL = 6,     ///< weights, features or logits that are not finite
  DCL_OUT_OF_MEMORY = 7  ///< of the host or the device
};

/// Why the last call of this thread that failed did so, one line; "" when none has. Valid until the next one that
/// fails.
const char* dcl_last_error(void);

/// Messages of the library, such as what it assumed of a file. From any thread that calls in; level: 0 information, 1
/// warning; the text is valid during the call.
typedef void (*dcl_log_callback)(void* user, int level, const char* message);
/// For the whole process, while no other call is in progress; null: messages are dropped, as they are from the start.
dcl_status dcl_set_log(dcl_log_callback callback, void* user);

/// Compute threads for the whole process; 0: all cores it may use, as from the start. DCL_USAGE while a model is open.
dcl_status dcl_set_threads(int threads);

typedef struct dcl_model dcl_model;

/// How a model is opened. Every field but the first may be 0, which is its default.
typedef struct dcl_options {
  size_t struct_size;         ///< sizeof(dcl_options): which fields there are
  const char* device;         ///< "auto" (default): the best that works; "cuda", "onednn", "eigen"
  const char* dtype;          ///< of activations: "f32" (default), "bf16"; "tf32": f32 with rounded factors, cuda only
  const char* normalization;  ///< of pixels: "auto" (default) as the file says, "published", "imagenet", "half", "none"
  const char* model_prefix;   ///< which of several encoders in the file: what stands before its tensors' names
  int64_t eval_size;          ///< images are resized and cropped to this height and width, at most 4096; 0: that of the
                              ///< classifier's test where the file says it, else as DCL_OWN_SIZE
  int64_t batch_size;         ///< images in the network at a time, at most 65536; 0: 64
} dcl_options;

enum { DCL_OWN_SIZE = -1 };  ///< eval_size: images enter the network as they are

/// Opens a file with an encoder, or an encoder and a classifier, in any format that the programs read: safetensors,
/// PyTorch's, NPZ; or the newest checkpoint of a run directory. options: null for the defaults. *model is null where
/// this fails.
dcl_status dcl_open(const char* path, const dcl_options* options, dcl_model** model);
/// Of null: nothing.
void dcl_close(dcl_model* model);

/// Numbers that dcl_embed() gives for an image.
dcl_status dcl_features(const dcl_model* model, int64_t* features);
/// Numbers that dcl_classify() gives for an image; 0: the file has no classifier.
dcl_status dcl_classes(const dcl_model* model, int64_t* classes);
/// UTF-8, valid until dcl_close(); a number where the file has no names. index: from 0 to classes - 1.
dcl_status dcl_class_name(const dcl_model* model, int64_t index, const char** name);
/// Height and width at which images enter the network; 0: their own.
dcl_status dcl_eval_size(const dcl_model* model, int64_t* size);
/// Which device "auto" took; valid until dcl_close().
dcl_status dcl_device(const dcl_model* model, const char** name);

/// What the results are.
enum {
  DCL_UNIT_LENGTH = 1,    ///< of dcl_embed: features of unit length, as dcl-embed writes them
  DCL_RAW = 2,            ///< of dcl_embed: features as the encoder gives them
  DCL_PROBABILITIES = 3,  ///< of dcl_classify: softmax of the logits
  DCL_LOGITS = 4          ///< of dcl_classify
};

/// Features [images, features] of `images` images, each [height, width, 3], RGB of 8 bits. row_stride: bytes from a row
/// to the next, 0: 3 * width; images follow each other after height * row_stride bytes. room: numbers that `results`
/// has room for. Sides are at most 16384, pixels of an image at most 2^26.
/// Memory is kept from call to call; other extents or another number of images (of which batch_size make a pass) than
/// in the call before take new memory, and time to prepare the network for them.
dcl_status dcl_embed(dcl_model* model, const uint8_t* pixels, int64_t images, int64_t height, int64_t width,
                     int64_t row_stride, int what, float* results, int64_t room);

/// The same for the classifier: [images, classes]. DCL_DATA where the file has none.
dcl_status dcl_classify(dcl_model* model, const uint8_t* pixels, int64_t images, int64_t height, int64_t width,
                        int64_t row_stride, int what, float* results, int64_t room);

#ifdef __cplusplus
}
#endif

#endif
