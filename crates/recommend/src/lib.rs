//! Flows to least-privilege policies and ring-fence templates.
