#!/bin/bash
# A dense 8B model on 64 GPUs, two stages of pipeline with two virtual stages each.
GPUS_PER_NODE=8
torchrun --nproc-per-node 8 --nnodes 8 pretrain_gpt.py \
  --num-layers 32 --hidden-size 4096 --ffn-hidden-size 14336 \
  --num-attention-heads 32 --group-query-attention --num-query-groups 8 \
  --seq-length 8192 --max-position-embeddings 8192 --vocab-size 128256 \
  --swiglu --normalization RMSNorm --position-embedding-type rope --untie-embeddings-and-output-weights --disable-bias-linear \
  --tensor-model-parallel-size 2 --sequence-parallel --pipeline-model-parallel-size 2 \
  --num-virtual-stages-per-pipeline-rank 2 --use-distributed-optimizer \
  --micro-batch-size 1 --global-batch-size 256 --bf16 \
  --recompute-granularity selective --lr 3e-4
