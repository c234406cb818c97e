"""What every part uses: files, configurations, processes."""
