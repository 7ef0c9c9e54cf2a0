// Kernels over lists of tensors: the addresses travel as a kernel argument, a block finds its chunk of a tensor in it.
// Nothing is copied to the device, so a launch can be captured in a CUDA graph.
#pragma once
#include "device.h"
#include "optimizer.h"

namespace aixmeg::cuda {

constexpr int kArgumentBytes = 3840;  // of the 4096 that every GPU takes; the rest is for a kernel's other arguments

// Flat pieces of tensors at the same place of kLists lists.
template <int kLists>
struct Table {
  static constexpr int kMost = (kArgumentBytes - 16) / (8 * kLists + 16);
  void* data[kLists][kMost];
  int64_t size[kMost];
  int first_block[kMost + 1];  // of the grid; the last entry is the number of blocks
  int first_slot[kMost];       // where this piece's results per block lie
  int count;
};

// What one block works on: elements [begin, end) of piece `index`.
struct Share {
  int index, slot;
  int64_t begin, end;
};

template <int kLists>
__device__ __forceinline__ Share share_of_block(const Table<kLists>& table) {
  const int block = static_cast<int>(blockIdx.x);
  int low = 0, high = table.count;  // the last piece whose first block is not after this one
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (table.first_block[middle] <= block ? low : high) = middle;
  }
  const int chunk = block - table.first_block[low];
  const int64_t begin = chunk * kAixmegOptimizerChunk, end = begin + kAixmegOptimizerChunk;
  return {low, table.first_slot[low] + chunk, begin, end < table.size[low] ? end : table.size[low]};
}

// Loads and stores of kWidth elements whose packs may hold more or less than 16 bytes.
template <int kWidth, class T>
__device__ __forceinline__ Pack<T, kWidth> load_wide(const T* address) {
  if constexpr (sizeof(Pack<T, kWidth>) <= sizeof(uint4)) {
    return load_pack<kWidth>(address);
  } else {
    uint4 raw[sizeof(Pack<T, kWidth>) / sizeof(uint4)];
#pragma unroll
    for (uint4& piece : raw) piece = reinterpret_cast<const uint4*>(address)[&piece - raw];
    Pack<T, kWidth> pack;
    memcpy(&pack, raw, sizeof pack);
    return pack;
  }
}

template <int kWidth, class T>
__device__ __forceinline__ void store_wide(T* address, const Pack<T, kWidth>& pack) {
  if constexpr (sizeof(pack) == sizeof(uint2)) {
    uint2 raw;
    memcpy(&raw, &pack, sizeof raw);
    __stwb(reinterpret_cast<uint2*>(address), raw);
  } else if constexpr (sizeof(pack) > sizeof(uint4)) {
    uint4 raw[sizeof(pack) / sizeof(uint4)];
    memcpy(raw, &pack, sizeof pack);
#pragma unroll
    for (uint4& piece : raw) __stwb(reinterpret_cast<uint4*>(address) + (&piece - raw), piece);
  } else {
    store_pack(address, pack);
  }
}

// One list on the host: addresses (null where the list is absent) and bytes per element.
struct List {
  void* const* data;
  int bytes;
};

inline int bytes_of(int type) { return type == kAixmegBfloat16 ? 2 : 4; }

// Fills tables and hands each that is full, and the last, to `launch`.
template <int kLists, class F>
class Filling {
 public:
  Filling(const List (&lists)[kLists], const F& launch) : lists_(lists), launch_(launch) {}

  // Elements [begin, begin + size) of tensor i, whose results begin at `slot`.
  cudaError_t add(int64_t i, int64_t begin, int64_t size, int64_t slot, int64_t blocks) {
    if (blocks > kMaxGridX) return cudaErrorInvalidValue;
    if (table_.count == Table<kLists>::kMost || table_.first_block[table_.count] + blocks > kMaxGridX) {
      const cudaError_t error = flush();
      if (error != cudaSuccess) return error;
    }
    const int n = table_.count++;
    for (int list = 0; list < kLists; ++list)
      table_.data[list][n] = lists_[list].data == nullptr
                                 ? nullptr
                                 : static_cast<char*>(lists_[list].data[i]) + begin * lists_[list].bytes;
    table_.size[n] = size;
    table_.first_slot[n] = static_cast<int>(slot);
    table_.first_block[n + 1] = table_.first_block[n] + static_cast<int>(blocks);
    return cudaSuccess;
  }

  cudaError_t flush() {
    const cudaError_t error = table_.count == 0 ? cudaSuccess : launch_(table_);
    table_.count = 0;
    return error;
  }

 private:
  const List (&lists_)[kLists];
  const F& launch_;
  Table<kLists> table_ = {};
};

// Splits every tensor into whole packs of kWidth elements, where its addresses are multiples of 16 bytes, and the rest
// of single elements, and calls wide(table) and single(table) for each full table. `slots[count + 1]`, where not null,
// receives each tensor's first slot; its slots are consecutive.
template <int kWidth, int kLists, class Wide, class Single>
cudaError_t over_lists(int64_t count, const int64_t* sizes, const List (&lists)[kLists], int64_t* slots,
                       const Wide& wide, const Single& single) {
  Filling<kLists, Wide> packs(lists, wide);
  Filling<kLists, Single> elements(lists, single);
  const auto blocks = [](int64_t size) { return (size + kAixmegOptimizerChunk - 1) / kAixmegOptimizerChunk; };
  int64_t slot = 0;
  for (int64_t i = 0; i < count; ++i) {
    bool whole = true;
    for (const List& list : lists) whole = whole && (list.data == nullptr || aligned(list.data[i]));
    const int64_t body = whole ? sizes[i] / kWidth * kWidth : 0, rest = sizes[i] - body;
    if (slots != nullptr) slots[i] = slot;
    if (slot > std::numeric_limits<int>::max() - blocks(body) - blocks(rest)) return cudaErrorInvalidValue;
    cudaError_t error = body == 0 ? cudaSuccess : packs.add(i, 0, body, slot, blocks(body));
    slot += blocks(body);
    if (error == cudaSuccess && rest > 0) error = elements.add(i, body, rest, slot, blocks(rest));
    slot += blocks(rest);
    if (error != cudaSuccess) return error;
  }
  if (slots != nullptr) slots[count] = slot;
  const cudaError_t error = packs.flush();
  return error != cudaSuccess ? error : elements.flush();
}

}  // namespace aixmeg::cuda
