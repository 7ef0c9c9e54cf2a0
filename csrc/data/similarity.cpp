// Files of one repository by likeness: TF-IDF over words, hashed into short vectors of 16-bit integers, spherical
// k-means, and chains of nearest neighbours. All comparisons are of exact integers, so that every machine gives the
// same order; ties go to the lower index.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "api.h"

namespace {

constexpr int kBuckets = 1 << 16;
constexpr int kDims = 256;
constexpr double kNorm = 16384;  // of every vector; a dot product of two stays below 2^29

uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

bool is_word(uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c >= 0x80;
}

// A vector of length kNorm; zero stays zero.
void quantise(const double* sums, int16_t* out) {
  double square = 0;
  for (int d = 0; d < kDims; ++d) square += sums[d] * sums[d];
  const double scale = square > 0 ? kNorm / std::sqrt(square) : 0;
  for (int d = 0; d < kDims; ++d) out[d] = static_cast<int16_t>(std::lround(sums[d] * scale));
}

int32_t dot(const int16_t* a, const int16_t* b) {
  int32_t sum = 0;
  for (int d = 0; d < kDims; ++d) sum += a[d] * b[d];
  return sum;
}

// The vector most like `from` among `from_index .. count` of `order`.
int64_t nearest(const int16_t* vectors, const int32_t* order, int64_t first, int64_t count, const int16_t* from) {
  int64_t best = first;
  int32_t most = INT32_MIN;
  for (int64_t i = first; i < count; ++i) {
    const int32_t likeness = dot(from, vectors + static_cast<int64_t>(order[i]) * kDims);
    if (likeness > most || (likeness == most && order[i] < order[best])) {
      most = likeness;
      best = i;
    }
  }
  return best;
}

}  // namespace

// Words of text[n] by bucket: buckets[k], counts[k] for the k different ones, k at most `capacity`; returns k.
// scratch[65536] must be zero and is zero again afterwards.
AIXMEG_API int64_t aixmeg_term_counts(const uint8_t* text, int64_t n, uint32_t* scratch, uint16_t* buckets,
                                      uint32_t* counts, int64_t capacity) {
  int64_t found = 0;
  for (int64_t i = 0; i < n;) {
    if (!is_word(text[i])) {
      ++i;
      continue;
    }
    uint64_t hash = 0xcbf29ce484222325ULL;
    const int64_t start = i;
    for (; i < n && is_word(text[i]); ++i) hash = (hash ^ text[i]) * 0x100000001b3ULL;
    if (i - start < 2) continue;  // one-letter names say nothing
    const auto bucket = static_cast<uint16_t>(mix(hash) >> 48);
    if (scratch[bucket]++ == 0) {
      if (found == capacity) {
        scratch[bucket] = 0;
        continue;
      }
      buckets[found++] = bucket;
    }
  }
  for (int64_t k = 0; k < found; ++k) {
    counts[k] = scratch[buckets[k]];
    scratch[buckets[k]] = 0;
  }
  return found;
}

// One document's vector[256] from its terms and the inverse document frequency of each bucket, idf[65536].
AIXMEG_API void aixmeg_term_vector(const uint16_t* buckets, const uint32_t* counts, int64_t n, const double* idf,
                                   int16_t* vector) {
  double sums[kDims] = {};
  for (int64_t k = 0; k < n; ++k) {
    const double weight = (1 + std::log2(static_cast<double>(counts[k]))) * idf[buckets[k]];
    const uint64_t places = mix(buckets[k] + 1);
    sums[places & 255] += places & (1ULL << 40) ? weight : -weight;
    sums[(places >> 8) & 255] += places & (1ULL << 41) ? weight : -weight;
  }
  quantise(sums, vector);
}

// Spherical k-means of vectors[n][256]: cluster[n] in [0, k), the centroids begin at the vectors `seeds[k]`.
AIXMEG_API void aixmeg_spherical_kmeans(const int16_t* vectors, int64_t n, const int32_t* seeds, int64_t k,
                                        int32_t rounds, int32_t* cluster, int16_t* centroids) {
  for (int64_t c = 0; c < k; ++c)
    std::memcpy(centroids + c * kDims, vectors + static_cast<int64_t>(seeds[c]) * kDims, kDims * sizeof(int16_t));
  std::fill(cluster, cluster + n, -1);
  std::vector<double> sums(k * kDims);
  for (int32_t round = 0; round < rounds; ++round) {
    bool changed = false;
    for (int64_t i = 0; i < n; ++i) {
      int32_t best = 0, most = INT32_MIN;
      for (int64_t c = 0; c < k; ++c) {
        const int32_t likeness = dot(vectors + i * kDims, centroids + c * kDims);
        if (likeness > most) {
          most = likeness;
          best = static_cast<int32_t>(c);
        }
      }
      changed |= cluster[i] != best;
      cluster[i] = best;
    }
    if (!changed) return;
    std::fill(sums.begin(), sums.end(), 0.0);  // integers below 2^53: exact in any order
    for (int64_t i = 0; i < n; ++i)
      for (int d = 0; d < kDims; ++d) sums[cluster[i] * static_cast<int64_t>(kDims) + d] += vectors[i * kDims + d];
    for (int64_t c = 0; c < k; ++c) quantise(sums.data() + c * kDims, centroids + c * kDims);
  }
}

// Reorder order[count], indices of vectors: each place takes the one most like the one before it, the first is the one
// most like `start`.
AIXMEG_API void aixmeg_nearest_chain(const int16_t* vectors, int32_t* order, int64_t count, const int16_t* start) {
  const int16_t* last = start;
  for (int64_t i = 0; i < count; ++i) {
    std::swap(order[i], order[nearest(vectors, order, i, count, last)]);
    last = vectors + static_cast<int64_t>(order[i]) * kDims;
  }
}
