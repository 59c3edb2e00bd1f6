"""From sizes to batches: mixture, quotas of blocks, order, shapes; `data.loader` delivers them."""
